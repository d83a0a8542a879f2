"""A lane by torch. On the CPU, too, where streams and events are torch's own stand-ins that do nothing: for tests."""

from __future__ import annotations

from typing import Any

import torch

from ._place import Place


class TorchDriver:
    """Copies of one device.

    :param device: a ``torch.device``
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._kind = getattr(torch, device.type)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else self._kind.Stream()

    def place(self, size_bytes: int) -> Place:
        """See `Driver`."""
        pinned = self._device.type == "cuda"
        with torch.inference_mode(mode=False):  # what is made in that mode cannot be written to outside of it
            host = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=pinned)
            there = torch.empty(size_bytes, dtype=torch.uint8, device=self._device)
        place = Place(host.numpy(), there, self._event(), self._event(), host)
        self.consume(place)
        return place

    def copy_in(self, place: Place, size_bytes: int) -> None:
        """See `Driver`."""
        with self._kind.stream(self._stream):
            place.consumed.wait(self._stream)
            place.device[:size_bytes].copy_(place.keeps[:size_bytes], non_blocking=True)
            place.copied.record(self._stream)
        place.copied.wait(self._current())

    def copy_out(self, pixels: Any, place: Place) -> None:
        """See `Driver`."""
        flat = pixels.reshape(-1)
        place.keeps[: flat.numel()].copy_(flat, non_blocking=True)
        place.copied.record(self._current())

    def consume(self, place: Place) -> None:
        """See `Driver`."""
        place.consumed.record(self._current())

    def wait(self, place: Place) -> None:
        """See `Driver`."""
        place.copied.synchronize()

    def finish(self, place: Place) -> None:
        """See `Driver`."""
        place.consumed.synchronize()

    def _event(self) -> Any:
        """One that a waiting thread sleeps at; the default keeps a processor busy for as long as the network runs."""
        return torch.cuda.Event(blocking=True) if self._device.type == "cuda" else self._kind.Event()

    def _current(self) -> Any:
        return self._kind.current_stream(self._device)
