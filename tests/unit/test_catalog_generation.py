"""Whether an environment still holds what it held when a worker was started from it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ai_runner_base.catalog import Generation, environments_folder

pytestmark = pytest.mark.unit


def folder(path: Path, *records: str) -> Path:
    (path / "conda-meta").mkdir(parents=True)
    for record in records:
        (path / "conda-meta" / f"{record}.json").touch()
    return path


def is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_link_that_moves_is_another_generation_and_the_old_folder_is_held(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "generations/a-1", "x-1-0"), folder(tmp_path / "generations/a-2", "x-1-0")
    prefix = tmp_path / "a"
    prefix.symlink_to("generations/a-1")
    generation = Generation(prefix)
    assert (generation.folder, generation.is_current(), is_free(one)) == (one, True, False)
    prefix.unlink()
    prefix.symlink_to("generations/a-2")
    assert not generation.is_current()
    assert (is_free(one), is_free(two)) == (False, True)
    generation.close()
    generation.close()
    assert is_free(one)


def test_a_forgotten_generation_is_let_go(tmp_path: Path) -> None:
    one = folder(tmp_path / "generations/a-1")
    (tmp_path / "a").symlink_to("generations/a-1")
    Generation(tmp_path / "a")
    assert is_free(one)


@pytest.mark.parametrize("installed", ["conda-meta/x-2-0.json", "lib/python3.11/site-packages/x-2.dist-info"])
def test_a_change_in_place_is_noticed_too(tmp_path: Path, installed: str) -> None:
    prefix = folder(tmp_path / "a", "x-1-0")
    (prefix / "lib/python3.11/site-packages").mkdir(parents=True)
    generation = Generation(prefix)
    assert generation.folder == prefix
    assert generation.is_current()
    (prefix / installed).mkdir()
    assert not generation.is_current()


def test_compiled_files_are_no_change(tmp_path: Path) -> None:
    prefix = folder(tmp_path / "a", "x-1-0")
    packages = prefix / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    generation = Generation(prefix)
    (packages / "__pycache__").mkdir()
    assert generation.is_current()


def test_siblings_lie_beside_an_environment_or_in_a_base_one() -> None:
    assert environments_folder(Path("/c/envs/runner")) == Path("/c/envs")
    assert environments_folder(Path("/c")) == Path("/c/envs")
