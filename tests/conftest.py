"""Rules for every test: a category, no leaked tasks, no leaked threads of ours, nothing slower than its deadline."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

# `tests._support` holds fixtures' helpers; the repository root must come first for it, and src must not.
sys.path.insert(0, str(Path(__file__).parents[1]))

CATEGORIES = {"unit", "process", "media", "dist", "browser"}
OUR_THREADS = ("ai-runner", "decode", "encode")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test without a category: selection by need must never miss one."""
    for item in items:
        if not CATEGORIES & {mark.name for mark in item.iter_markers()}:
            raise pytest.UsageError(f"{item.nodeid} needs one of the marks {sorted(CATEGORIES)}")


@pytest_asyncio.fixture(autouse=True)
async def _no_leaked_tasks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """An asyncio test that passes but leaves a task behind fails."""
    if not asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()]
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    """Threads named as ours must end with the test that started them."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(OUR_THREADS):
            thread.join(2.0)
            assert not thread.is_alive(), f"thread left behind: {thread.name}"


def pytest_configure(config: pytest.Config) -> None:
    """Give each run a clear start: no inherited identity of a runner."""
    import os

    for name in ("PIPELINE", "MODEL_ID", "AUTH_TOKEN", "VERSION", "HOST", "PORT", "AI_RUNNER_PREFER"):
        os.environ.pop(name, None)
