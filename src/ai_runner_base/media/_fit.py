"""Decoded pictures into frames of the pipeline's size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ai_runner_base.media._colour import (
    BILINEAR,
    ONE_THREAD,
    RANGE_FULL,
    SWS_601,
    frame_matrix,
    frame_range,
    rgb_view,
)
from ai_runner_base.media._types import Picture

_MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "smpte170m", 7: "smpte240m", 9: "bt2020"}


class Fitter:
    """Scales pictures to cover a size, crops them around the centre, and converts them to RGB.

    One thread at a time. A picture of the wanted size costs one conversion and one copy; any other is cropped
    before it is scaled, so that no pixel is scaled only to be thrown away. Phones' rotation marks are obeyed.

    :param width: of the frames to write, in pixels
    :param height: likewise
    """

    def __init__(self, width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise ValueError(f"a frame cannot be {width}x{height}")
        self.width = width
        self.height = height
        self._reformatter = VideoReformatter()
        self._unpacker = VideoReformatter()
        self._chain: _CropScale | None = None

    def into(self, picture: Picture | av.VideoFrame, out: NDArray[np.uint8]) -> None:
        """Write the picture.

        :param out: (height, width, 3) uint8 RGB; written completely
        """
        if out.shape != (self.height, self.width, 3):
            raise ValueError(f"out is {out.shape}, expected {(self.height, self.width, 3)}")
        frame = picture.frame if isinstance(picture, Picture) else picture
        turns = (_rotation(frame) // 90) % 4
        size = (self.height, self.width) if turns % 2 else (self.width, self.height)
        rgb = rgb_view(self._to_rgb(frame, *size))
        np.copyto(out, np.rot90(rgb, turns) if turns else rgb)

    def _to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        frame = self._planar(frame)
        if (frame.width, frame.height) == (width, height):
            return self._reformatter.reformat(
                frame,
                format="rgb24",
                interpolation=BILINEAR,
                src_colorspace=frame_matrix(frame),
                dst_colorspace=SWS_601,
                src_color_range=frame_range(frame),
                dst_color_range=RANGE_FULL,
                **ONE_THREAD,
            )
        key = _CropScale.key(frame, width, height)
        if self._chain is None or self._chain.made_for != key:
            self._chain = _CropScale(frame, width, height)
        return self._chain.run(frame)

    def _planar(self, frame: av.VideoFrame) -> av.VideoFrame:
        """NV12, as devices give it, in planes: from there swscale has a way to RGB that takes a quarter of the time."""
        if frame.format.name != "nv12":
            return frame
        planar = self._unpacker.reformat(frame, format="yuv420p", **ONE_THREAD)
        planar.colorspace, planar.color_range = frame.colorspace, frame.color_range
        return planar


class _CropScale:
    """FFmpeg's crop (which only moves pointers) and scale filters for one kind of frame."""

    def __init__(self, frame: av.VideoFrame, width: int, height: int) -> None:
        self.made_for = self.key(frame, width, height)
        crop_w, crop_h = cover_crop(frame.width, frame.height, width, height)
        matrix = _MATRIX_NAMES[frame_matrix(frame)]
        levels = "full" if frame_range(frame) == RANGE_FULL else "limited"
        # Averaging is cheap and free of moire when shrinking; enlarging needs interpolation.
        flags = "area" if crop_w >= width else "bilinear"
        self._graph = Graph()
        if hasattr(self._graph, "threads"):
            self._graph.threads = 1
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 90_000)
        )
        crop = self._graph.add("crop", f"{crop_w}:{crop_h}")
        scale = self._graph.add(
            "scale",
            f"{width}:{height}:flags={flags}:in_color_matrix={matrix}:in_range={levels}:out_range=full",
        )
        rgb = self._graph.add("format", "rgb24")
        self._graph.link_nodes(source, crop, scale, rgb, self._graph.add("buffersink")).configure()

    @staticmethod
    def key(frame: av.VideoFrame, width: int, height: int) -> tuple[Any, ...]:
        """What the chain depends on."""
        return (
            (frame.width, frame.height, frame.format.name),
            (int(frame.colorspace), int(frame.color_range)),
            (width, height),
        )

    def run(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._graph.push(frame)
        result = self._graph.pull()
        if not isinstance(result, av.VideoFrame):
            raise TypeError(f"the filter chain gave {type(result).__name__}")
        return result


def cover_crop(src_w: int, src_h: int, dst_w: int, dst_h: int) -> tuple[int, int]:
    """The largest centred part of a source that has the destination's aspect ratio: (width, height)."""
    if src_w * dst_h > dst_w * src_h:
        return max(1, round(src_h * dst_w / dst_h)), src_h
    return src_w, max(1, round(src_w * dst_h / dst_w))


def _rotation(frame: av.VideoFrame) -> int:
    """Degrees counterclockwise by which to turn the picture for display."""
    return int(frame.rotation)
