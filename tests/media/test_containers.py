"""containers/*: every step is run, and what comes out is started, without a container engine.

The image's root is a folder; `scripts/pixiw` and `apt-get` are stand-ins that write down what they are asked, and the
former runs programs of an environment that borrows this interpreter's packages. Everything else is real.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests._support.prefixes import make_prefix
from tests._support.shades import shade_channel

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session
from ai_runner_base.workspace import read_manifest

pytestmark = [pytest.mark.media, pytest.mark.timeout(120)]

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "containers"
HOME = "/opt/ai-runner"
PIXIW = """#!/bin/sh -e
echo "pixiw $*" >> {log}
if [ "$1" = run ]; then shift 3; program=$1; shift; exec {envs}/host/bin/$program "$@"; fi
"""


@dataclass
class Image:
    """The steps of a Containerfile, taken in a folder."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    entry_point: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.root / "opt/ai-runner"

    @property
    def asked(self) -> list[str]:
        return (self.root / "asked").read_text().splitlines()

    def prepare(self) -> None:
        """Make the stand-ins."""
        envs = self.home / ".pixiw/envs"
        prefix = make_prefix(envs, name="host")
        (prefix / "bin/ai-runner").write_text(f'#!/bin/sh\nexec {prefix}/bin/python -m ai_runner_base "$@"\n')
        programs = {
            self.home / "scripts/pixiw": PIXIW.format(log=self.root / "asked", envs=envs),
            self.root / "bin/apt-get": f'#!/bin/sh\necho "apt-get $*" >> {self.root / "asked"}\n',
            self.root / "bin/rm": '#!/bin/sh\n[ "$1" = -rf ] || exec /bin/rm "$@"\n',
        }
        for path, text in programs.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (prefix / "bin/ai-runner").chmod(0o755)

    def build(self, name: str, **arguments: str) -> None:
        """Take the steps of a file, as an engine does: one after the other, the first failure ends it."""
        self.prepare()
        text = (FOLDER / name).read_text().replace("\\\n", "")
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word == "ARG":
                key, _, default = rest.partition("=")
                self.variables[key] = arguments.get(key, default)
            elif word == "ENV":
                pairs = re.findall(r"(\w+)=(\S+)", rest)
                self.variables |= {key: self._filled(value) for key, value in pairs}
            elif word == "RUN":
                self._run(rest)
            elif word == "ENTRYPOINT":
                self.entry_point = json.loads(rest.replace(HOME, str(self.home)))

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: self.variables[found[1]], text)

    def _run(self, command: str) -> None:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        env = {key: value for key, value in self.variables.items() if value}
        done = subprocess.run(
            ["/bin/sh", "-ec", command.replace("/tmp/", f"{self.root}/")],
            cwd=self.home,
            env={**env, "PATH": path, "AI_RUNNER_OVERRIDE_CHANNELS": "1"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    async def serves(self, **more: str) -> list[str]:
        """Start the image's program and ask it what it serves."""
        assert self.entry_point == [str(self.home / ".pixiw/envs/host/bin/ai-runner"), "serve"]
        env = {
            "AI_RUNNER_OVERRIDE_CHANNELS": "1",
            **self.variables,
            **more,
            "HOST": "127.0.0.1",
            "PYTHONPATH": "",
        }
        prefix = self.home / ".pixiw/envs/host"
        async with client_session() as http, runner(prefix=prefix, env=env) as run:
            await run.wait_health(http, "IDLE")
            _, answer = await run.call(http, "GET", "/pipelines")
        return [item["name"] for item in answer["pipelines"]]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


@pytest.fixture
def channel(tmp_path: Path) -> str:
    return str(shade_channel(tmp_path / "channel", "1.0"))


async def test_pipelines_installed_when_the_image_is_built(image: Image, channel: str) -> None:
    await _build(image, "Containerfile.pipelines", PIPELINES="shade==1.0", CHANNELS=channel)
    assert image.asked[-2:] == ["pixiw install -e host", "pixiw run -e host ai-runner install shade==1.0"]
    assert await image.serves(AI_RUNNER_CHANNELS="http://127.0.0.1:9/gone", MODEL_ID="shade") == ["shade"]


async def test_a_pipelines_own_image(image: Image, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path, ["echo"], name="conda")
    await _build(image, "Containerfile.own-base", PIPELINE_PREFIX=str(prefix))
    assert await image.serves(MODEL_ID="echo") == ["echo"]


async def test_an_image_without_a_pipeline_is_not_built(image: Image, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path, ["broken_import"], name="conda")
    with pytest.raises(AssertionError, match="AssertionError"):
        await _build(image, "Containerfile.own-base", PIPELINE_PREFIX=str(prefix))


async def test_installed_at_start(image: Image, channel: str) -> None:
    await _build(image, "Containerfile.auto-install")
    served = await image.serves(AUTO_INSTALL_PIPELINE="shade==1.0", AI_RUNNER_CHANNELS=channel)
    assert served == ["shade"]
    assert (image.home / ".pixiw/envs").stat().st_mode & 0o777 == 0o777


def test_every_file_asks_for_environments_and_files_that_are_there() -> None:
    environments = read_manifest(REPOSITORY / "pixi.toml").environments
    readme = (FOLDER / "README.md").read_text()
    files = sorted(FOLDER.glob("Containerfile.*"))
    assert len(files) == 3
    for path in files:
        assert set(re.findall(r"pixiw \w+ -e (\w+)", path.read_text())) <= set(environments)
        assert f"]({path.name})" in readme


async def _build(image: Image, name: str, **arguments: str) -> None:
    await asyncio.to_thread(image.build, name, **arguments)
