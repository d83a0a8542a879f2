"""A place in pinned memory and on a device, and what is asked of the device's library about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Place:
    """Room for one picture on both sides.

    :param host: (N,) uint8, pinned; a view of memory that `keeps` owns
    :param device: (N,) uint8 of the device's library
    :param copied: of the driver; recorded behind each copy
    :param consumed: of the driver; recorded behind what reads or fills `device`
    """

    host: NDArray[np.uint8]
    device: Any
    copied: Any
    consumed: Any
    keeps: Any = None


class Driver(Protocol):
    """What a lane asks of a device's library. All but `wait` and `finish` return before the device is done."""

    def place(self, size_bytes: int) -> Place:
        """Make a place; its device half is free from the caller's stream on."""

    def copy_in(self, place: Place, size_bytes: int) -> None:
        """Host to device on the copy stream, once `consumed`; the caller's stream waits for it. Records `copied`."""

    def copy_out(self, pixels: Any, place: Place) -> None:
        """Device array to host on the caller's stream. Records `copied`."""

    def consume(self, place: Place) -> None:
        """Record `consumed` on the caller's stream."""

    def wait(self, place: Place) -> None:
        """Block until `copied`."""

    def finish(self, place: Place) -> None:
        """Block until `consumed`."""
