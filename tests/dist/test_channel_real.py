"""A real channel of what the runner needs, from the Python index that this machine's pip is set up for.

One mirror for the whole module; environments are solved from it, installed and run as a user would.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import rattler
from rattler.index import index_fs
from tests._support.channel_env import Watcher

from ai_runner_base.channel import HostPython, Want, build, load, mirror, requirements_of
from ai_runner_base.channel._store import ChannelDir, run

pytestmark = [pytest.mark.dist, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
BASE = ROOT / "recipes" / "ai-runner-base"
PYTHON = HostPython.current()
ENVIRONMENT = [f"python {PYTHON.minor}.*", "aiohttp", "av", "click", "numpy", "psutil", "pydantic", "rich"]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> ChannelDir:
    """The closure of the runner, and of building it."""
    folder = tmp_path_factory.mktemp("real") / "mirror"
    wants = [Want(spec, ("environment default",)) for spec in ENVIRONMENT]
    mirror([*wants, *requirements_of([load(BASE)], with_tests=True)], folder, PYTHON, Watcher())
    return ChannelDir(folder)


def records(urls: Sequence[str], specs: Sequence[str]) -> list[rattler.RepoDataRecord]:
    virtual = [
        p.into_generic() for p in rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env())
    ]
    gateway = rattler.Gateway()
    return run(
        rattler.solve(sources=list(urls), specs=list(specs), virtual_packages=virtual, gateway=gateway)
    )


def install(urls: Sequence[str], specs: Sequence[str], prefix: Path, cache: Path) -> None:
    run(rattler.install(records(urls, specs), prefix, cache_dir=cache, show_progress=False))


@pytest.fixture(scope="module")
def prefix(channel: ChannelDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment whose path is long and has a space in it."""
    folder = tmp_path_factory.mktemp("environment of a user")
    target = folder / ("long-" * 20) / "env"
    target.parent.mkdir()
    install([channel.url], [*ENVIRONMENT, "pip"], target, folder / "cache")
    return target


def call(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program with an environment that knows of no Python, and give what it prints."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=clean, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_binary_packages_work_in_the_environment(prefix: Path) -> None:
    code = "import av, numpy, aiohttp, psutil, pydantic; print(av.__file__); print(numpy.ones(3).sum())"
    where, total = call(prefix / "bin" / "python", "-I", "-c", code).split("\n")
    assert Path(where).is_relative_to(prefix)
    assert total == "3.0"


@pytest.mark.parametrize("command", [["f2py", "-v"], ["pip", "--version"], ["pygmentize", "-V"]])
def test_commands_run_with_the_interpreter_of_the_prefix(prefix: Path, command: list[str]) -> None:
    assert call(prefix / "bin" / command[0], *command[1:])
    script = (prefix / "bin" / command[0]).read_text(errors="replace")
    assert str(prefix / "bin" / "python") in script
    assert "placehold_placehold" not in script
    assert "wheels" not in script.split("\n")[0]


def test_pip_sees_complete_metadata_installed_by_conda(prefix: Path) -> None:
    assert call(prefix / "bin" / "pip", "check") == "No broken requirements found."
    told = json.loads(call(prefix / "bin" / "pip", "inspect", "--local"))["installed"]
    assert len(told) > 15
    assert {package["installer"] for package in told} == {"conda"}
    assert not any("direct_url" in package for package in told)


def test_installed_files_are_what_their_record_says(prefix: Path) -> None:
    code = (
        "import importlib.metadata as m, base64, hashlib\n"
        "bad = [str(f) for d in m.distributions() for f in d.files or () if not f.locate().exists() or f.hash and\n"
        "  base64.urlsafe_b64encode(hashlib.new(f.hash.mode, f.read_binary()).digest()).rstrip(b'=').decode()"
        " != f.hash.value]\n"
        "print(bad)\n"
    )
    assert call(prefix / "bin" / "python", "-I", "-c", code) == "[]"


def test_the_interpreter_is_the_hosts_and_its_prefix_is_the_environment(prefix: Path) -> None:
    code = "import sys, sysconfig, ssl; print(sys.prefix); print(sysconfig.get_path('purelib'))"
    assert call(prefix / "bin" / "python", "-I", "-c", code).split("\n") == [
        str(prefix),
        str(prefix / PYTHON.site_packages),
    ]
    assert (prefix / "bin" / f"python{PYTHON.minor}").resolve() == PYTHON.executable


def test_libraries_are_found_without_the_builders_paths(prefix: Path) -> None:
    """No library of the environment may come from where a wheel was packed, or be missing."""
    if shutil.which("ldd") is None:
        pytest.skip("ldd is not installed")
    extension = next((prefix / PYTHON.site_packages / "av").glob("*.so"))
    linked = call("ldd", extension)
    assert "not found" not in linked
    assert str(prefix) in linked


def test_the_channel_has_what_clients_expect(channel: ChannelDir) -> None:
    from ai_runner_base.channel.conda_writer import zstd

    for subdir in ("noarch", PYTHON.subdir):
        folder = channel.path / subdir
        index = json.loads((folder / "repodata.json").read_text())
        assert index["info"]["subdir"] == subdir
        assert (
            zstd.decompress((folder / "repodata.json.zst").read_bytes())
            == (folder / "repodata.json").read_bytes()
        )
        assert (folder / "repodata_shards.msgpack.zst").is_file()
        assert set(index["packages.conda"]) == {path.name for path in folder.glob("*.conda")}
        for name, record in index["packages.conda"].items():
            content = (folder / name).read_bytes()
            assert (record["sha256"], record["size"]) == (hashlib.sha256(content).hexdigest(), len(content))


def test_pip_is_there_since_conda_adds_it_to_every_python(channel: ChannelDir) -> None:
    assert "pip" in {record.name.normalized for record in records([channel.url], ["python", "pip"])}


def test_an_index_made_from_scratch_is_the_same(channel: ChannelDir, tmp_path: Path) -> None:
    """The records that were handed to the indexer are those that it would have read itself."""
    for path in channel.path.glob("*/*.conda"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        os.link(path, tmp_path / path.parent.name / path.name)
    run(index_fs(tmp_path, force=True))
    for subdir in ("noarch", PYTHON.subdir):
        assert _index(tmp_path / subdir) == _index(channel.path / subdir)


def _index(folder: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((folder / "repodata.json").read_text())["packages.conda"]
    return {
        name: {k: v for k, v in record.items() if k != "indexed_timestamp"} for name, record in found.items()
    }


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer in full: this server's 304 lacks the dates that py-rattler needs to go on with its cached index."""
        del self.headers["If-Modified-Since"]
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as a plain static server does."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


def test_over_http_the_same_packages_are_found_and_verified(channel: ChannelDir, tmp_path: Path) -> None:
    specs = [f"python {PYTHON.minor}.*", "yarl", "click"]
    with served(channel.path) as web:
        assert [r.sha256 for r in records([web], specs)] == [r.sha256 for r in records([channel.url], specs)]
        install([web], specs, tmp_path / "env", tmp_path / "cache")
    code = "import yarl; print(yarl.URL('http://a/b').path)"
    assert call(tmp_path / "env" / "bin" / "python", "-I", "-c", code) == "/b"


def test_a_package_that_was_exchanged_is_refused_over_http(channel: ChannelDir, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(channel.path, copy)
    victim = next((copy / "noarch").glob("click-*.conda"))
    victim.write_bytes(next((copy / "noarch").glob("idna-*.conda")).read_bytes())
    with served(copy) as web, pytest.raises(rattler.exceptions.InstallerError, match="hash"):
        install([web], ["python", "click"], tmp_path / "env", tmp_path / "cache")


def test_the_runner_itself_builds_and_passes_its_own_tests(channel: ChannelDir, tmp_path: Path) -> None:
    done = build([BASE], tmp_path / "local", [channel.url], run_tests=True)
    (name,) = done.made
    assert Path(name).name.startswith("ai-runner-base-")
    urls = [ChannelDir(tmp_path / "local").url, channel.url]
    install(urls, ["ai-runner-base", f"python {PYTHON.minor}.*"], tmp_path / "env", tmp_path / "cache")
    assert "ai-runner" in call(tmp_path / "env" / "bin" / "ai-runner", "--version")


def test_a_second_interpreter_of_this_machine_gets_an_environment_too(
    channel: ChannelDir, tmp_path: Path
) -> None:
    """Debian's Python looks for modules in places of its own; in an environment it must not."""
    other = Path("/usr/bin/python3")
    if not other.exists() or HostPython.inspect(other).executable == PYTHON.executable:
        pytest.skip("there is no second interpreter in /usr/bin")
    python = HostPython.inspect(other)
    if python.minor != PYTHON.minor:
        pytest.skip(f"/usr/bin/python3 is {python.version}; its wheels would have to be fetched")
    copy = tmp_path / "mirror"
    shutil.copytree(channel.path, copy)
    mirror([Want(spec) for spec in ENVIRONMENT], copy, python, Watcher())
    install([copy.as_uri()], [*ENVIRONMENT, "pip"], tmp_path / "env", tmp_path / "cache")
    code = "import numpy, sys; print(sys.version.split()[0], numpy.__file__)"
    version, where = call(tmp_path / "env" / "bin" / "python", "-I", "-c", code).split()
    assert version == python.version
    assert Path(where).is_relative_to(tmp_path / "env")
    assert call(tmp_path / "env" / "bin" / "pip", "check") == "No broken requirements found."
