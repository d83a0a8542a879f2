"""A lane by CuPy. It has never met a GPU: its calls are tested against a stand-in."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ._place import Place


class CupyDriver:
    """Copies of one CUDA device.

    :param device: its index
    """

    def __init__(self, device: int) -> None:
        self._device = device
        with cupy.cuda.Device(device):
            self._stream = cupy.cuda.Stream(non_blocking=True)

    def place(self, size_bytes: int) -> Place:
        """See `Driver`."""
        pinned = cupy.cuda.alloc_pinned_memory(size_bytes)
        host = np.frombuffer(pinned, np.uint8, size_bytes)
        with cupy.cuda.Device(self._device):
            there = cupy.empty(size_bytes, cupy.uint8)
            copied, consumed = (cupy.cuda.Event(block=True, disable_timing=True) for _ in range(2))
        place = Place(host, there, copied, consumed, pinned)
        self.consume(place)
        return place

    def copy_in(self, place: Place, size_bytes: int) -> None:
        """See `Driver`."""
        self._stream.wait_event(place.consumed)
        place.device[:size_bytes].set(place.host[:size_bytes], stream=self._stream)
        place.copied.record(self._stream)
        self._current().wait_event(place.copied)

    def copy_out(self, pixels: Any, place: Place) -> None:
        """See `Driver`."""
        flat, current = pixels.ravel(), self._current()
        flat.get(stream=current, out=place.host[: flat.size])
        place.copied.record(current)

    def consume(self, place: Place) -> None:
        """See `Driver`."""
        place.consumed.record(self._current())

    def wait(self, place: Place) -> None:
        """See `Driver`."""
        place.copied.synchronize()

    def finish(self, place: Place) -> None:
        """See `Driver`."""
        place.consumed.synchronize()

    def _current(self) -> Any:
        with cupy.cuda.Device(self._device):
            return cupy.cuda.get_current_stream()
