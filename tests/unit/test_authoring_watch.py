"""Changes of files are noticed once they are over; errors are told with the author's own line."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ai_runner_base.authoring import Watch, explain
from ai_runner_base.errors import PipelineError

pytestmark = pytest.mark.unit

INTERVAL_S = 0.02
LIMIT_S = 10


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "data").mkdir(parents=True)
    (folder / "a.py").write_text("A = 1\n")
    (folder / "data" / "table.json").write_text("{}")
    return folder


async def next_change(watch: Watch) -> list[Path]:
    return await asyncio.wait_for(watch.next_change(), LIMIT_S)


async def test_edits_new_files_and_removals_are_changes(package: Path) -> None:
    watch = Watch([package], INTERVAL_S)
    (package / "a.py").write_text("A = 22\n")
    (package / "data" / "table.json").unlink()
    (package / "b.py").write_text("")
    assert await next_change(watch) == [package / "a.py", package / "b.py", package / "data" / "table.json"]


async def test_an_edit_that_keeps_the_size_is_a_change(package: Path) -> None:
    watch = Watch([package / "a.py"], INTERVAL_S)
    (package / "a.py").write_text("A = 2\n")
    os.utime(package / "a.py", ns=(1, 1))
    assert await next_change(watch) == [package / "a.py"]


async def test_caches_and_hidden_files_are_none(package: Path) -> None:
    watch = Watch([package], INTERVAL_S)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_text("x")
    (package / ".a.py.swp").write_text("x")
    waiting = asyncio.create_task(watch.next_change())
    await asyncio.sleep(5 * INTERVAL_S)
    assert not waiting.done()
    (package / "a.py").write_text("A = 33\n")
    assert await asyncio.wait_for(waiting, LIMIT_S) == [package / "a.py"]


async def test_many_steps_are_one_change(package: Path) -> None:
    watch = Watch([package], 5 * INTERVAL_S)
    waiting = asyncio.create_task(watch.next_change())
    for number in range(8):
        (package / f"{number}.py").write_text("x")
        await asyncio.sleep(INTERVAL_S)
    assert len(await asyncio.wait_for(waiting, LIMIT_S)) == 8


def trace(*places: str, error: str) -> str:
    return "Traceback (most recent call last):\n" + "".join(places) + f"{error}\n"


def test_the_last_line_of_the_author_is_told(package: Path) -> None:
    ours = f'  File "{package}/a.py", line 1, in <module>\n    A = 1\n'
    theirs = '  File "/lib/numpy/core.py", line 77, in add\n    raise\n'
    error = PipelineError(
        "it broke", remote_traceback=trace(theirs, ours, theirs, error="ValueError: too many: 3")
    )
    assert explain(error, package.parent) == "package/a.py:1: ValueError: too many: 3\n    A = 1"


def test_lines_of_an_environment_in_the_authors_folder_are_not_his(package: Path) -> None:
    ours = f'  File "{package}/a.py", line 1, in <module>\n    A = 1\n'
    theirs = f'  File "{package.parent}/.pixi/envs/default/lib/numpy/core.py", line 77, in add\n    raise\n'
    error = PipelineError("it broke", remote_traceback=trace(ours, theirs, error="ValueError: too many"))
    assert explain(error, package.parent) == "package/a.py:1: ValueError: too many\n    A = 1"


def test_all_lines_of_an_error_are_told_and_none_of_the_next(package: Path) -> None:
    ours = f'  File "{package}/a.py", line 1, in <module>\n    A = 1\n'
    said = "pydantic_core.ValidationError: 1 error for Params\nstrength\n  Input should be at most 1"
    after = "\nDuring handling of the above exception, another exception occurred:\n"
    error = PipelineError("it broke", remote_traceback=trace(ours, error=f"{said}\n{after}"))
    told = "ValidationError: 1 error for Params\n    strength\n    Input should be at most 1\n    A = 1"
    assert explain(error, package.parent) == f"package/a.py:1: pydantic_core.{told}"


def test_an_error_without_a_message_and_a_line_that_is_gone(package: Path) -> None:
    ours = f'  File "{package}/a.py", line 9, in <module>\n'
    error = PipelineError("it broke", remote_traceback=trace(ours, error="AssertionError"))
    assert explain(error, package.parent) == "package/a.py:9: AssertionError"


def test_an_error_of_others_is_told_as_it_is(package: Path) -> None:
    assert explain(PipelineError("no worker", hint="try again"), package) == "no worker (try again)"
    theirs = '  File "/lib/numpy/core.py", line 77, in add\n'
    error = PipelineError("it broke", remote_traceback=trace(theirs, error="ValueError: x"))
    assert explain(error, package) == "it broke"
