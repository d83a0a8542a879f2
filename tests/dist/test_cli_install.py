"""`ai-runner install`, `upgrade`, `rollback`, `uninstall`: real packages, and never half an environment."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests._support.shades import ai_runner, shade, shade_channel
from tests._support.tinychannel import module, write_channel

pytestmark = pytest.mark.dist

SAY = "from shade_grey import GREY; import sys; print(GREY, sys.prefix)"


@dataclass
class Site:
    """A channel and a folder of environments."""

    channel: Path
    environments: Path

    @property
    def prefix(self) -> Path:
        return self.environments / "shade"

    def do(self, command: str, *words: str | Path, code: int = 0, **env: str) -> str:
        """Run a command on the environment `shade`; what it said."""
        where = ["--prefix", self.prefix]
        from_channel = ["-c", self.channel, "--override-channels"] if command == "install" else []
        done = ai_runner(command, *words, *from_channel, *where, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def grey(self) -> int:
        """What the installed version paints."""
        command = [str(self.prefix / "bin/python"), "-I", "-c", SAY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return int(done.stdout.split()[0])

    def generations(self) -> list[str]:
        return sorted(path.name for path in (self.environments / ".ai-runner/generations").iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Site:
    return Site(shade_channel(tmp_path / "channel", "1.0"), tmp_path / "envs")


def test_install_upgrade_rollback_uninstall(place: Site) -> None:
    said = place.do("install", "shade")
    assert "+ shade 1.0" in said
    assert "tested shade" in said
    assert f"ai-runner serve --pipeline shade --environments {place.prefix}" in said
    assert place.grey() == 40
    assert "nothing to change" in place.do("install", "shade")

    write_channel(place.channel, shade("2.0"))
    assert "nothing to change" in place.do("install", "shade"), "what is there stays until an upgrade"
    assert "shade 1.0 → 2.0" in place.do("upgrade")
    assert place.grey() == 200
    assert "shade 2.0 → 1.0" in place.do("rollback")
    assert place.grey() == 40
    assert "no earlier generation" in place.do("rollback", code=2)

    assert "removed" in place.do("uninstall", "shade")
    assert not place.prefix.is_symlink()
    assert place.generations() == []
    assert "there is no environment shade" in place.do("upgrade", code=2)


def test_a_version_is_what_was_asked_for_until_something_else_is(place: Site) -> None:
    write_channel(place.channel, shade("2.0"))
    place.do("install", "shade==1.0")
    assert "nothing to change" in place.do("upgrade")
    assert "shade 1.0 → 2.0" in place.do("upgrade", "shade")
    assert "shade 2.0 → 1.0" in place.do("install", "shade==1.0")
    kept = json.loads((place.prefix / "conda-meta/ai-runner").read_text())
    assert kept == {"specs": ["shade ==1.0"], "channels": [place.channel.as_uri()]}


def test_a_wrong_name_or_version_is_answered_with_what_there_is(place: Site) -> None:
    write_channel(place.channel, shade("2.0"), module("ai-runner-tint"))
    assert "no channel has shad, did you mean shade?" in place.do("install", "shad", code=2)
    assert "no channel has tint, did you mean ai-runner-tint?" in place.do("install", "tint", code=2)
    assert "of shade there is 2.0, 1.0;" in place.do("install", "shade==9", code=2)
    assert not place.prefix.exists()


def test_a_second_package_joins_and_leaves_the_first(place: Site) -> None:
    write_channel(place.channel, module("extra"))
    place.do("install", "shade")
    assert "+ extra 1.0" in place.do("install", "extra")
    assert "- extra 1.0" in place.do("uninstall", "extra")
    assert place.grey() == 40
    assert "extra was not asked for here" in place.do("uninstall", "extra", code=2)


def test_a_version_that_does_not_start_changes_nothing(place: Site) -> None:
    place.do("install", "shade")
    write_channel(place.channel, shade("3.0", "import nothing_there\n"))
    said = place.do("upgrade", code=3)
    assert "shade of shade 3.0 did not pass its start test" in said
    assert "No module named 'nothing_there'" in said
    assert (place.grey(), place.generations()) == (40, ["shade-1"])


def test_a_package_that_is_not_what_the_index_says_changes_nothing(place: Site) -> None:
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    file = place.channel / "noarch/shade-2.0-0.conda"
    file.write_bytes(file.read_bytes() + b"more")
    assert "the index says" in place.do("upgrade", code=5)
    assert (place.grey(), place.generations()) == (40, ["shade-1"])


@pytest.mark.parametrize("largest_file_blocks", [0, 1, 2])
def test_a_disk_that_takes_no_more_changes_nothing(place: Site, largest_file_blocks: int) -> None:
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    # A limit on files fails as a full disk does, at another line for each limit.
    limited = ["/bin/sh", "-c", f'ulimit -f {largest_file_blocks}; exec "$@"', "sh", sys.executable]
    command = [*limited, "-m", "ai_runner_base", "upgrade", "--prefix", str(place.prefix)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5, done.stderr
    assert "error on this host: environment shade" in done.stderr
    assert (place.grey(), place.generations()) == (40, ["shade-1"])
    place.do("upgrade")
    assert place.grey() == 200


def test_nothing_fits_and_the_reason_is_said(place: Site) -> None:
    assert "No candidates were found for shade ==9" in place.do("install", "shade==9", code=2)
    assert not place.prefix.exists()


def test_an_environment_of_another_program_is_left_alone(place: Site) -> None:
    (place.prefix / "conda-meta").mkdir(parents=True)
    assert "was not made by `ai-runner install`" in place.do("install", "shade", code=2)
    assert [path.name for path in place.prefix.iterdir()] == ["conda-meta"]


def test_a_named_channel_is_looked_up_below_the_alias(place: Site) -> None:
    alias = place.channel.parent.as_uri()
    words = ["install", "shade", "-c", "channel", "--override-channels", "--prefix", place.prefix]
    done = ai_runner(*words, env={"CONDA_CHANNEL_ALIAS": alias})
    assert done.returncode == 0, done.stderr
    assert place.grey() == 40


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not looked at."""


@pytest.fixture
def served(place: Site) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(place.channel))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5.0)


def test_a_web_server_can_be_the_channel(place: Site, served: str) -> None:
    done = ai_runner("install", "shade", "-c", served, "--override-channels", "--prefix", place.prefix)
    assert done.returncode == 0, done.stderr
    assert place.grey() == 40


STOPPED_AT = """
import os, sys
from ai_runner_base import cli
from ai_runner_base.workspace import _install
at, number = map(int, sys.argv[1:3])
CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.utime", "shutil.rmtree"}
seen = 0
def step():
    global seen
    seen += 1
    if seen == at:
        os.kill(os.getpid(), number)
def audit(event, words):
    if event in CHANGES or (event == "open" and words[2] & (os.O_WRONLY | os.O_RDWR)):
        step()
sys.addaudithook(audit)
for name in ("on_populate_cache_start", "on_link_start", "on_link_complete"):
    real = getattr(_install._Progress, name)
    setattr(_install._Progress, name, lambda *words, real=real: (step(), real(*words))[1])
code = cli.run(sys.argv[3:])
print("steps:", seen, flush=True)
os._exit(code)
"""
"""Runs a command; at the given step of those that change something on disk it sends itself a signal.

Steps are what Python reports to audit hooks, and what rattler reports of unpacking and linking.
"""


def stopped_upgrade(place: Site, at: int, number: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        STOPPED_AT,
        str(at),
        str(number),
        "upgrade",
        "--prefix",
        str(place.prefix),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def steps_of_an_upgrade(folder: Path) -> int:
    """How many steps an upgrade to 2.0 takes."""
    place = Site(shade_channel(folder / "channel", "1.0"), folder / "envs")
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    done = stopped_upgrade(place, 0, 0)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("steps:")[2])


def spread(count: int, steps: int) -> list[int]:
    """That many steps, from the first to the last, at even distances."""
    return sorted({round(1 + number * (steps - 1) / (count - 1)) for number in range(count)})


@pytest.mark.timeout(240)
def test_killed_at_any_of_20_points_the_old_one_works_and_the_next_try_succeeds(
    place: Site, tmp_path: Path
) -> None:
    points = spread(20, steps_of_an_upgrade(tmp_path / "counted") - 4)
    assert len(points) == 20
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    for point in points:
        done = stopped_upgrade(place, point, signal.SIGKILL)
        assert done.returncode == -signal.SIGKILL, (point, done.stderr)
        assert place.grey() == 40, point
    place.do("upgrade")
    assert place.grey() == 200
    assert len(place.generations()) == 2, "what the killed ones left is gone"


def test_ctrl_c_says_stopped_and_nothing_is_lost(place: Site) -> None:
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    for point in (2, 6, 11):
        done = stopped_upgrade(place, point, signal.SIGINT)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "stopped"), (point, done.stderr)
        assert "Traceback" not in done.stderr
        assert place.grey() == 40, point
    place.do("upgrade")
    assert place.grey() == 200


IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
"""A shell that may mount; what it mounts is seen by nobody else and ends with it."""


def may_mount() -> bool:
    try:
        command = [*IN_A_NAMESPACE, "mount -t tmpfs none /mnt"]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


needs_mount = pytest.mark.skipif(not may_mount(), reason="this machine does not let its users mount")


@needs_mount
def test_a_full_disk_is_named_and_changes_nothing(place: Site) -> None:
    write_channel(place.channel, shade("2.0"))
    place.environments.mkdir()
    script = """
        mount -t tmpfs -o size=2m none "$1"; shift
        "$@" install shade==1.0 -c "$CHANNEL" --override-channels --prefix "$PREFIX"
        dd if=/dev/zero of="$PREFIX/../fill" bs=1k 2>/dev/null || true
        "$@" upgrade shade --prefix "$PREFIX" && exit 1
        "$PREFIX/bin/python" -I -c "import shade_grey; assert shade_grey.GREY == 40"
        rm "$PREFIX/../fill"
        "$@" upgrade shade --prefix "$PREFIX"
        "$PREFIX/bin/python" -I -c "import shade_grey; assert shade_grey.GREY == 200"
    """
    done = in_a_namespace(script, place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No space left on device" in done.stderr
    assert "nothing was changed; look at the disk's space" in done.stderr


@needs_mount
def test_a_cache_that_cannot_be_written_is_named_and_changes_nothing(place: Site) -> None:
    place.do("install", "shade")
    write_channel(place.channel, shade("2.0"))
    script = """
        cache="$1/.ai-runner/cache"; shift
        mount --bind "$cache" "$cache"; mount -o remount,bind,ro "$cache"
        "$@" upgrade --prefix "$PREFIX"
    """
    done = in_a_namespace(script, place)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"cannot write to the cache, {place.environments}/.ai-runner/cache/pkgs" in done.stderr
    assert "Traceback" not in done.stderr
    assert (place.grey(), place.generations()) == (40, ["shade-1"])


def in_a_namespace(script: str, place: Site) -> subprocess.CompletedProcess[str]:
    """Run a script whose arguments are the folder of environments and the command."""
    words = ["sh", str(place.environments), sys.executable, "-m", "ai_runner_base"]
    env = {**os.environ, "CHANNEL": str(place.channel), "PREFIX": str(place.prefix)}
    return subprocess.run(
        [*IN_A_NAMESPACE, script, *words], capture_output=True, text=True, timeout=90, check=False, env=env
    )


def test_two_at_once_wait_for_each_other(place: Site) -> None:
    write_channel(place.channel, module("extra"))
    command = [sys.executable, "-m", "ai_runner_base", "install"]
    more = ["-c", str(place.channel), "--override-channels", "--prefix", str(place.prefix)]
    both = [
        subprocess.Popen(
            [*command, name, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ
        )
        for name in ("shade", "extra")
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    kept = json.loads((place.prefix / "conda-meta/ai-runner").read_text())
    assert sorted(kept["specs"]) == ["extra", "shade"]
