"""The command line of pixiw: what it refuses, how options combine, what its display prints."""

from __future__ import annotations

import io
import re
from pathlib import Path

import click
import pytest
from tests._support.manifests import CPU, manifest

from ai_runner_base.cli import _pixiw_work
from ai_runner_base.cli._pixiw_display import PAST, Display
from ai_runner_base.cli._pixiw_session import Options, Session, find_manifest
from ai_runner_base.cli.pixiw import _NOT_HERE, cli, invoke
from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import Home, remember_host

pytestmark = pytest.mark.unit


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    manifest(
        tmp_path,
        '[tasks]\nt = "true {{ a }}"\nt2 = { cmd = "x {{ a }}", args = ["a"] }\n[environments]\ne = []\n',
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIXIW_HOME", raising=False)
    remember_host(Home(tmp_path / ".pixiw"), CPU)
    return tmp_path


@pytest.mark.parametrize("verb", sorted(_NOT_HERE))
def test_commands_of_pixi_that_are_not_here_are_refused_by_name(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([verb, "--whatever"]) == 2
    errors = capsys.readouterr().err
    assert errors == f"error: pixiw has no command {verb!r} as pixi has\n  {_NOT_HERE[verb]}\n"


def test_no_command_is_both_here_and_refused() -> None:
    assert isinstance(cli, click.Group)
    assert not set(cli.commands) & set(_NOT_HERE)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nosuch"], 2, "No such command 'nosuch'"),
        (["run", "--clean-env", "t"], 2, "No such option"),
        (["run", "--", "--"], 2, ""),
        (["run", "-e", "none", "t"], 2, "no environment 'none'"),
        (["install", "--all", "-e", "e"], 2, "--all and --environment exclude each other"),
        (["run", "--frozen", "--locked", "t2", "x"], 2, "exclude each other"),
        (["run", "t2"], 2, "needs the argument a"),
        (["list", "("], 2, ""),
        (["clean", "cache", "-e", "e"], 2, "environments only"),
        (["-m", "pyproject.toml", "info"], 2, "does not read pyproject.toml"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_wrong_words_are_answered_in_one_line_or_two(
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pixiw_work.Worker, "prepare", _refuse)
    assert invoke(words) == code
    assert message in capsys.readouterr().err


def _refuse(*_: object, **__: object) -> None:
    raise CallerError("this test makes no environments")


@pytest.mark.usefixtures("workspace")
def test_a_dry_run_says_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--dry-run", "-e", "e", "t2", "1", "--", "-x"]) == 0
    assert capsys.readouterr().out == "t2 (e): x 1 -x\n"


def test_the_traceback_shows_only_with_v(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["-v", "add"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert invoke(["add"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_manifest_is_the_nearest_one(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    wrapper = tmp_path / "wrapper"
    wrapper.mkdir()
    (wrapper / "pixi.toml").touch()
    with pytest.raises(CallerError, match=r"no pixi\.toml"):
        find_manifest(Options(), deep)
    assert find_manifest(Options(wrapper_root=wrapper), deep) == wrapper / "pixi.toml"
    (tmp_path / "a" / "pixi.toml").touch()
    assert find_manifest(Options(wrapper_root=wrapper), deep) == tmp_path / "a" / "pixi.toml"
    assert find_manifest(Options(wrapper), deep) == wrapper / "pixi.toml"
    assert find_manifest(Options(wrapper / "other.toml"), deep) == wrapper / "other.toml"


@pytest.mark.usefixtures("workspace")
def test_options_count_before_and_behind_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["-v", "task", "-q", "list", "-q"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "t   true {{ a }}"


@pytest.mark.usefixtures("workspace")
def test_a_home_that_forgets_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXIW_HOME", "/proc/nowhere")
    with pytest.raises(HostError, match="cannot write to /proc/nowhere"):
        Session(Options()).host.describe("__cuda")


def _events() -> list[dict[str, object]]:
    return [
        {"event": "step", "id": 1, "stage": "fetch", "name": "numpy 2.4", "total_bytes": 2_000_000},
        {"event": "advance", "id": 1, "size_bytes": 2_000_000},
        {"event": "detail", "text": "a detail"},
        {"event": "step", "id": 2, "stage": "build", "name": "mine 1.0", "total_bytes": None},
        {"event": "end", "id": 1, "failed": False},
        {"event": "end", "id": 2, "failed": True},
        {"event": "note", "text": "environment default: 1 packages"},
    ]


@pytest.mark.parametrize(
    ("verbosity", "lines"),
    [
        (0, ["fetched numpy 2.4 (2.0 MB, 0.0 s)", "environment default: 1 packages"]),
        (1, ["a detail", "fetched numpy 2.4 (2.0 MB, 0.0 s)", "environment default: 1 packages"]),
        (-1, []),
    ],
)
def test_plain_lines_where_there_is_no_terminal(verbosity: int, lines: list[str]) -> None:
    stream = io.StringIO()
    display = Display(verbosity, stream)
    for event in _events():
        display.handle(event)
    display.close()
    assert stream.getvalue().splitlines() == lines


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_moving_lines_and_one_line_for_all_that_was_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _Terminal()
    display = Display(0, stream)
    for event in [*_events()[:6], *_events()[:2], _events()[4], _events()[6]]:
        display.handle(event)
    display.close()
    printed = stream.getvalue()
    assert "fetch numpy 2.4" in printed
    assert printed.index("fetched 2 files") < printed.index("environment default")
    assert re.search(r"fetched 2 files \(4\.0 MB, \d\.\d s\)", printed)


def test_every_stage_has_a_past_tense() -> None:
    ours = {"solve", "verify", "link", "compile"}
    theirs = {"resolve", "fetch", "convert", "build", "check", "test", "index", "upload"}
    assert ours | theirs == set(PAST)
