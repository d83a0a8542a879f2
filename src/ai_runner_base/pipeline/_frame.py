"""Frames on their way through a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ._convert import picture_layout, to_uint8

if TYPE_CHECKING:
    import torch


class VideoFrame:
    """One picture and its time.

    The pixels of a frame that comes from the runner lie in shared memory: read them, draw into them, but take
    a copy of what you keep for longer than the call (or, in a `Pipeline`, longer than until its output is
    returned).

    :param data: RGB picture, (H, W, 3) or (1, H, W, 3), uint8 or float in [0, 1]; a NumPy array, a torch
        tensor, a CuPy array or anything else that speaks DLPack, on any device. Never copied.
    :param pts: presentation time in units of `time_base`; the output keeps it
    :param time_base: seconds per unit of `pts`
    :param side_data: the author's own notes on this frame; they travel along with `replace`
    :param device: where `tensor` is made, in torch's words; ``auto`` is the current CUDA device, or the CPU
        without one
    """

    __slots__ = ("_array", "_cupy", "_tensor", "data", "device", "pts", "side_data", "time_base")

    def __init__(
        self,
        data: Any,
        pts: int,
        time_base: Fraction,
        *,
        side_data: dict[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        self.data = data
        self.pts = pts
        self.time_base = time_base
        self.side_data: dict[str, Any] = {} if side_data is None else side_data
        self.device = device
        self._array: NDArray[np.uint8] | None = None
        self._tensor: Any = None
        self._cupy: Any = None

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height}, pts={self.pts}, time_base={self.time_base})"

    @property
    def array(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB on the CPU. For frames from the runner a view of shared memory, no copy.

        :raises PipelineError: `data` is no picture
        """
        if self._array is None:
            self._array = self._make_array()
        return self._array

    def _make_array(self) -> NDArray[np.uint8]:
        if isinstance(self.data, np.ndarray) and self.data.dtype == np.uint8:
            layout = picture_layout(self.data)
            return self.data.reshape(layout.height, layout.width, 3) if self.data.ndim == 4 else self.data
        array = np.empty((self.height, self.width, 3), np.uint8)
        to_uint8(self.data, array)
        return array

    @property
    def tensor(self) -> torch.Tensor:
        """(1, H, W, 3) float32 RGB in [0, 1] on `device`; imports torch. Made on first use and kept.

        :raises HostError: torch is not installed in this environment
        :raises PipelineError: `data` is no picture
        """
        if self._tensor is None:
            from ._tensor import to_tensor

            self._tensor = to_tensor(self.data, self.device)
        return self._tensor

    @property
    def cupy(self) -> Any:
        """CuPy array, (1, H, W, 3) float32 RGB in [0, 1] on `device`; imports CuPy. Made on first use and kept.

        :raises HostError: CuPy is not installed in this environment, or `device` is none of CUDA
        :raises PipelineError: `data` is no picture
        """
        if self._cupy is None:
            from ._tensor import to_cupy

            self._cupy = to_cupy(self.data, self.device)
        return self._cupy

    @property
    def width(self) -> int:
        """Width in pixels.

        :raises PipelineError: `data` is no picture
        """
        return picture_layout(self.data).width

    @property
    def height(self) -> int:
        """Height in pixels.

        :raises PipelineError: `data` is no picture
        """
        return picture_layout(self.data).height

    @property
    def time_s(self) -> float:
        """Presentation time in seconds; starts anywhere and may jump."""
        return float(self.pts * self.time_base)

    def replace(self, data: Any) -> Self:
        """Another picture at the same time, with the same side data."""
        return type(self)(data, self.pts, self.time_base, side_data=self.side_data, device=self.device)

    def __dlpack__(self, **options: Any) -> Any:
        """DLPack capsule of `data` as it is: no copy, no conversion."""
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's (device type, device id) of `data`."""
        device: tuple[int, int] = self.data.__dlpack_device__()
        return device


@dataclass(frozen=True, slots=True)
class VideoOutput:
    """What a `Pipeline` gives back.

    :param frame: the picture; its size is the output's size
    :param request_id: the one that came with the input frame; outputs of another stream are dropped
    :param is_loading_frame: a waiting picture, not a result; left out of the counts
    """

    frame: VideoFrame
    request_id: str = ""
    is_loading_frame: bool = False
