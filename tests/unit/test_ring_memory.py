"""Frame slots in a memfd: shared, sparse, sealed, gone with their last view."""

from __future__ import annotations

import gc
import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.ring import MAX_SLOTS, Ring

pytestmark = pytest.mark.unit


def test_both_ends_see_the_same_pixels() -> None:
    ours = Ring.create(3, 40 * 30 * 3)
    theirs = Ring.attach(os.dup(ours.fd), 3)
    ours.array(2, 30, 40)[:] = 7
    assert theirs.slot_bytes == ours.slot_bytes
    assert (theirs.array(2, 30, 40) == 7).all()
    assert (theirs.array(1, 30, 40) == 0).all()
    ours.close()
    theirs.close()


@given(slots=st.integers(1, 6), height=st.integers(1, 50), width=st.integers(1, 50))
def test_slots_never_overlap(slots: int, height: int, width: int) -> None:
    ring = Ring.create(slots, height * width * 3)
    for slot in range(slots):
        ring.array(slot, height, width)[:] = slot + 1
    assert [int(ring.array(slot, height, width).min()) for slot in range(slots)] == list(range(1, slots + 1))
    ring.close()


def test_slots_are_whole_pages_and_cost_nothing_until_written() -> None:
    ring = Ring.create(4, 3840 * 2160 * 3)
    assert ring.slot_bytes % mmap.PAGESIZE == 0
    assert os.fstat(ring.fd).st_blocks == 0
    ring.array(0, 16, 16)[:] = 1
    assert os.fstat(ring.fd).st_blocks * 512 == mmap.PAGESIZE
    ring.close()


def test_nobody_can_shrink_it_under_us() -> None:
    ring = Ring.create(1, 100)
    for size in (0, 2 * ring.slot_bytes):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.fd, size)
    ring.close()


@pytest.mark.parametrize(
    ("slot", "height", "width"), [(2, 1, 1), (-1, 1, 1), (0, 0, 1), (0, 1, -1), (0, 4096, 4096)]
)
def test_what_does_not_fit_is_refused(slot: int, height: int, width: int) -> None:
    ring = Ring.create(2, 1024)
    with pytest.raises(ValueError, match="cannot hold"):
        ring.array(slot, height, width)
    ring.close()


@pytest.mark.parametrize(("slots", "slot_bytes"), [(0, 1), (MAX_SLOTS + 1, 1), (1, 0)])
def test_impossible_rings_are_refused(slots: int, slot_bytes: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        Ring.create(slots, slot_bytes)


def test_a_view_outlives_its_ring_and_then_frees_everything() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    ring = Ring.create(2, 1024)
    view = ring.array(1, 10, 10)
    view[:] = 9
    ring.close()
    ring.close()
    del ring
    assert int(np.sum(view, dtype=np.int64)) == 9 * 300
    del view
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
