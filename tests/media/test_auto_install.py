"""AUTO_INSTALL_PIPELINE: `serve` has the package before it serves, and asks nobody when it is there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests._support.channel_wheels import make_wheel
from tests._support.prefixes import make_prefix
from tests._support.shades import CODE, borrowed_paths, shade_channel
from tests._support.tinychannel import module, write_channel

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session

pytestmark = [pytest.mark.media, pytest.mark.timeout(180)]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A runner's own environment, with room for others beside it."""
    return make_prefix(tmp_path / "envs", name="runner")


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    return shade_channel(tmp_path / "channel", "1.0", "2.0")


def variables(channel: Path | str, package: str, **more: str) -> dict[str, str]:
    here = {"AI_RUNNER_CHANNELS": str(channel), "AI_RUNNER_OVERRIDE_CHANNELS": "1"}
    return {**here, "AUTO_INSTALL_PIPELINE": package, "PYTHONPATH": "", **more}


async def test_what_is_missing_is_installed_and_then_served_without_a_channel(
    own: Path, channel: Path
) -> None:
    async with client_session() as http:
        async with runner(prefix=own, env=variables(channel, "shade==1.0")) as run:
            _, answer = await run.call(http, "GET", "/pipelines")
            (served,) = answer["pipelines"]
            assert (served["name"], served["version"]) == ("shade", "1.0")
            assert any("tested shade" in line for line in run.lines)
        async with runner(prefix=own, env=variables("http://127.0.0.1:9/gone", "shade")) as run:
            _, answer = await run.call(http, "GET", "/pipelines")
            assert [item["version"] for item in answer["pipelines"]] == ["1.0"], "a restart upgrades nothing"


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("shade==9.0", "No candidates were found for shade ==9.0"),
        ("extra", "extra brings no pipeline"),
        ("shade>=1", "is not PACKAGE or PACKAGE==VERSION"),
    ],
)
async def test_what_cannot_be_had_is_said_and_nothing_is_served(
    own: Path, channel: Path, package: str, said: str
) -> None:
    await asyncio.to_thread(write_channel, channel, module("extra"))
    with pytest.raises(RuntimeError, match="did not start") as caught:
        async with runner(prefix=own, env=variables(channel, package)):
            pass
    assert said in str(caught.value)
    assert not (own.parent / "shade").exists()


async def test_the_python_index_is_asked_only_where_that_is_allowed(
    own: Path, channel: Path, tmp_path: Path
) -> None:
    entry = b"[ai_runner.pipeline]\nwheel-shade = wheel_shade.shade:Shade\n"
    files = {"wheel_shade/shade.py": CODE.encode(), "{info}/entry_points.txt": entry}
    make_wheel(tmp_path / "wheels", "wheel-shade", requires=["stand-in"], files=files)
    make_wheel(tmp_path / "wheels", "stand-in", files={"_borrowed.pth": borrowed_paths().encode()})
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    wanted = variables(channel, "wheel-shade", **offline)
    with pytest.raises(RuntimeError, match="No candidates were found for wheel-shade"):
        async with runner(prefix=own, env=wanted):
            pass
    async with client_session() as http, runner(prefix=own, env={**wanted, "AUTO_INSTALL_PYPI": "1"}) as run:
        await run.wait_health(http, "IDLE")
        _, answer = await run.call(http, "GET", "/pipelines")
        assert [item["name"] for item in answer["pipelines"]] == ["wheel-shade"]
        assert answer["pipelines"][0]["environment"].endswith("generations/wheel-shade-1")
