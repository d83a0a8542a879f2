"""Frames as upstream's pipelines know them (runner/live/trickle/frame.py), over the frames of ai-runner-base.

Pictures are (1, H, W, 3) RGB float32 in [0, 1]. Upstream's guide says [-1, 1], its code never did that.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ai_runner_base.pipeline import VideoFrame as NativeFrame
from ai_runner_base.pipeline import VideoOutput as NativeOutput

if TYPE_CHECKING:
    import av

DEFAULT_WIDTH = 512
DEFAULT_HEIGHT = 512


class SideData:
    """A pipeline's own notes on one frame; other attributes may be added. Shared by a frame and its replacements.

    Upstream has one such object for all frames, which its ComfyUI pipeline takes to be the frame's own.
    """

    skipped: bool = True
    input: Any = None


class InputFrame:
    """What video and audio frames have in common.

    :ivar timestamp: in units of `time_base`
    :ivar time_base: seconds per unit
    :ivar log_timestamps: seconds since the epoch by name; the frame's own, where upstream's frames share one
    """

    timestamp: int
    time_base: Fraction
    log_timestamps: dict[str, float]
    side_data: Any

    @classmethod
    def from_av_video(cls, tensor: Any, timestamp: int, time_base: Fraction) -> VideoFrame:
        """Make a video frame."""
        return VideoFrame(tensor, timestamp, time_base)

    @classmethod
    def from_av_audio(cls, frame: av.AudioFrame) -> AudioFrame:
        """Make an audio frame."""
        return AudioFrame(frame)


class VideoFrame(NativeFrame, InputFrame):
    """One picture and its time.

    :param tensor: (1, H, W, 3) or (H, W, 3) RGB float in [0, 1], on any device; None until it is replaced.
        NumPy arrays and other libraries' will do, too.
    :param timestamp: in units of `time_base`
    :param time_base: seconds per unit of `timestamp`
    :param log_timestamps: kept, not copied
    """

    def __init__(
        self,
        tensor: Any,
        timestamp: int,
        time_base: Fraction,
        log_timestamps: dict[str, float] | None = None,
    ) -> None:
        super().__init__(tensor, timestamp, time_base)
        self._tensor = tensor
        self.side_data: Any = SideData()
        self.log_timestamps = {} if log_timestamps is None else log_timestamps

    def __repr__(self) -> str:
        """Also of a frame that has no picture yet."""
        kind = type(self.data).__name__
        return f"VideoFrame({kind}, timestamp={self.pts}, time_base={self.time_base})"

    @classmethod
    def from_native(cls, frame: NativeFrame) -> VideoFrame:
        """A frame of the runner, with its pixels where they are until `tensor` is asked for."""
        if isinstance(frame, VideoFrame):
            return frame
        mine = cls(frame.data, frame.pts, frame.time_base)
        mine._tensor = None
        mine.device = frame.device
        return mine

    @property
    def tensor(self) -> Any:
        """What was given; for a frame of the runner (1, H, W, 3) float32 in [0, 1], made on first use.

        It lies on the current CUDA device if there is one. It is the pipeline's own: what is drawn into it is
        seen by those who get the frame later.

        :raises ai_runner_base.errors.HostError: torch is not installed in this environment
        """
        if self._tensor is None and self.data is not None:
            self.tensor = super().tensor
        return self._tensor

    @tensor.setter
    def tensor(self, tensor: Any) -> None:
        self.data = self._tensor = tensor
        self._array = None

    @property
    def timestamp(self) -> int:
        """Presentation time in units of `time_base`; the runner's frames call it ``pts``."""
        return self.pts

    @timestamp.setter
    def timestamp(self, timestamp: int) -> None:
        self.pts = timestamp

    def replace_tensor(self, tensor: Any) -> VideoFrame:
        """Another picture with the same time, the same side data and the same log timestamps."""
        other = VideoFrame(tensor, self.pts, self.time_base, self.log_timestamps)
        other.side_data = self.side_data
        return other

    def replace(self, data: Any) -> Self:
        """`replace_tensor`, by the name that frames of the runner have."""
        return self.replace_tensor(data)  # type: ignore[return-value]  # subclasses of frames are upstream's: none


class AudioFrame(InputFrame):
    """A run of samples. Sound passes by the pipelines: only code of one's own makes these.

    :param frame: PyAV's
    :raises ValueError: it has no timestamp
    """

    samples: NDArray[Any]
    format: str
    layout: str
    rate: int
    nb_samples: int

    def __init__(self, frame: av.AudioFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            raise ValueError("audio frame has no timestamp")
        self.samples = np.asarray(frame.to_ndarray())
        self.nb_samples = frame.samples
        self.format = frame.format.name
        self.rate = frame.sample_rate
        self.layout = frame.layout.name
        self.timestamp = frame.pts
        self.time_base = frame.time_base
        self.log_timestamps = {}
        self.side_data = SideData()


class OutputFrame:
    """What results have in common."""

    is_loading_frame: bool = False


class VideoOutput(NativeOutput, OutputFrame):
    """What a pipeline gives back; may be changed, as upstream's.

    :param frame: the picture and its time
    :param request_id: the one that came with the input; outputs of another stream are dropped
    :param is_loading_frame: a waiting picture, not a result
    """

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def replace_tensor(self, tensor: Any) -> VideoOutput:
        """The same result with another picture."""
        return VideoOutput(self._frame.replace_tensor(tensor), self.request_id, self.is_loading_frame)

    @property
    def _frame(self) -> VideoFrame:
        return VideoFrame.from_native(self.frame)

    @property
    def tensor(self) -> Any:
        """The picture."""
        return self._frame.tensor

    @property
    def timestamp(self) -> int:
        """Presentation time in units of `time_base`."""
        return self.frame.pts

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `timestamp`."""
        return self.frame.time_base

    @property
    def log_timestamps(self) -> dict[str, float]:
        """The frame's."""
        return self._frame.log_timestamps


class AudioOutput(OutputFrame):
    """Sound on its way out.

    :param frames: in order of time
    :param request_id: the stream it belongs to
    """

    def __init__(self, frames: list[AudioFrame], request_id: str = "") -> None:
        self.frames = frames
        self.request_id = request_id
