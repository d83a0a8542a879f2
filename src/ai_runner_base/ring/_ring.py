"""One memfd cut into equal slots.

A memfd has no name, so nothing is left behind after ``kill -9`` of either side, and it is sparse: a page
costs memory only after its first write, so slots may be sized for the largest frame. It is sealed against
resizing: a worker that truncated it would otherwise kill the runner with SIGBUS.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

MAX_SLOTS = 32
"""Freed slots travel as a 32-bit mask."""

_CHANNELS = 3
_MAX_VIEWS = 4 * MAX_SLOTS


class Ring:
    """Slots for frames of any size up to `slot_bytes`; views stay valid after `close` until they are dropped.

    :param fd: a memfd that this ring owns from now on
    :param slots: how many slots the file is cut into
    """

    def __init__(self, fd: int, slots: int) -> None:
        self.fd = fd
        self.slots = slots
        self.slot_bytes = os.fstat(fd).st_size // slots
        self._map = mmap.mmap(fd, self.slot_bytes * slots)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._views: dict[tuple[int, int, int], NDArray[np.uint8]] = {}

    @classmethod
    def create(cls, slots: int, slot_bytes: int) -> Ring:
        """Make a new ring.

        :param slots: 1 to `MAX_SLOTS`
        :param slot_bytes: rounded up to whole pages, so that no two slots share one
        :raises ValueError: a number out of range
        """
        if not 1 <= slots <= MAX_SLOTS or slot_bytes < 1:
            raise ValueError(
                f"a ring has 1 to {MAX_SLOTS} slots of at least 1 byte, not {slots} of {slot_bytes}"
            )
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.memfd_create("ai-runner-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, slots * slot_bytes)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(fd, slots)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int, slots: int) -> Ring:
        """Map a ring that another process made; the descriptor is ours from now on."""
        return cls(fd, slots)

    def array(self, slot: int, height: int, width: int) -> NDArray[np.uint8]:
        """The picture in a slot.

        :returns: (height, width, 3) uint8, a view: writing to it writes to the slot
        :raises ValueError: no such slot, or the picture does not fit
        """
        # A stream asks for the same few views again and again.
        view = self._views.get((slot, height, width))
        return view if view is not None else self._make_view(slot, height, width)

    def _make_view(self, slot: int, height: int, width: int) -> NDArray[np.uint8]:
        size = height * width * _CHANNELS
        if not 0 <= slot < self.slots or height < 1 or width < 1 or size > self.slot_bytes:
            raise ValueError(
                f"slot {slot} of {self.slots} cannot hold {width}x{height} ({self.slot_bytes} bytes)"
            )
        start = slot * self.slot_bytes
        view = self._bytes[start : start + size].reshape(height, width, _CHANNELS)
        if len(self._views) >= _MAX_VIEWS:
            self._views.clear()
        self._views[slot, height, width] = view
        return view

    def close(self) -> None:
        """Close the descriptor; the memory goes when the last view does. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._bytes = np.empty(0, np.uint8)
            self._views.clear()
            del self._map
