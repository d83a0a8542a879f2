"""The way of pictures to a device and back: bytes through pinned memory, beside what the device computes.

A copy from ordinary memory goes through a buffer of the driver's and stops the caller; from pinned memory the device
fetches it by itself. Pinned memory is slow to get and limited, so a lane keeps a few places and uses them in turn.
Each place has two events: `copied`, after which its host half may be written again, and `consumed`, after which its
device half may. So one picture is uploaded while the kernels of the one before still run, and none is overwritten
before it was read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._place import Driver, Place
from .arrays import is_torch

_PLACES = 3
"""Being filled, under way, being read. There are more only while more threads than that are at it."""


class Lane:
    """Places of one device, used in turn. From any thread; each call has a place to itself."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._idle: deque[Place] = deque()
        self._made = 0
        self._lock = threading.Lock()

    def upload(self, pixels: NDArray[np.uint8], use: Callable[[Any], Any]) -> Any:
        """Bring a picture to the device.

        :param pixels: uint8 on the CPU, any shape; may be overwritten as soon as this returns
        :param use: gets them as a device array of the same shape, and returns another array made of it; what it was
            given is overwritten later
        :returns: what `use` returned; the device may still be at it
        """
        place = self._take(pixels.size)
        np.copyto(place.host[: pixels.size].reshape(pixels.shape), pixels)
        self._driver.copy_in(place, pixels.size)
        try:
            return use(place.device[: pixels.size].reshape(pixels.shape))
        finally:
            self._driver.consume(place)
            self._give_back(place)

    def download(self, pixels: Any, out: NDArray[np.uint8]) -> None:
        """Bring a picture back, and wait for it.

        :param pixels: uint8 on this lane's device, of the size of `out`
        """
        place = self._take(out.size)
        try:
            self._driver.copy_out(pixels, place)
            self._driver.wait(place)
            np.copyto(out, place.host[: out.size].reshape(out.shape))
        finally:
            self._give_back(place)

    def _take(self, size_bytes: int) -> Place:
        """The place that was used longest ago, once the device is done with its host half."""
        with self._lock:
            is_new = self._made < _PLACES or not self._idle
            place = None if is_new else self._idle.popleft()
            self._made += is_new
        if place is not None:
            self._driver.wait(place)
            if place.host.size >= size_bytes:
                return place
            self._driver.finish(place)  # its memory is free for others at once
        return self._driver.place(size_bytes)

    def _give_back(self, place: Place) -> None:
        with self._lock:
            self._idle.append(place)


def download(pixels: Any, out: NDArray[np.uint8]) -> None:
    """Copy a uint8 picture from wherever it is: through pinned memory from CUDA, else as its library does it."""
    if is_torch(pixels):
        if pixels.device.type == "cuda":
            torch_lane(pixels.device).download(pixels, out)
        else:
            import torch

            torch.from_numpy(out).copy_(pixels.reshape(out.shape))
    elif type(pixels).__module__.partition(".")[0] == "cupy":
        cupy_lane(int(pixels.device)).download(pixels, out)
    else:
        np.copyto(out, np.asarray(pixels).reshape(out.shape))


@cache
def torch_lane(device: Any) -> Lane:
    """Return the lane of a torch device; imports torch."""
    from ._lane_torch import TorchDriver

    return Lane(TorchDriver(device))


@cache
def cupy_lane(device: int) -> Lane:
    """Return the lane of a CUDA device for CuPy; imports CuPy."""
    from ._lane_cupy import CupyDriver

    return Lane(CupyDriver(device))
