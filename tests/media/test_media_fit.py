"""`Fitter`: the right pixels, in the right colours, from any size into any size."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from ai_runner_base.media import Fitter, clip, read_counter
from ai_runner_base.media._fit import cover_crop

pytestmark = pytest.mark.media

# BT.601 and BT.709, limited range, of pure red: from the standards' matrices.
RED_601 = (81, 90, 240)
RED_709 = (63, 102, 240)
RED_601_FULL = (76, 85, 255)
BT601, BT709, UNSPECIFIED = 6, 1, 2
LIMITED, FULL = 1, 2


def plain_frame(
    yuv: tuple[int, int, int], width: int, height: int, *, matrix: int = UNSPECIFIED, levels: int = 0
) -> av.VideoFrame:
    """A frame of one colour, yuv420p."""
    chroma = ((height + 1) // 2, (width + 1) // 2)
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value, shape in zip(frame.planes, yuv, ((height, width), chroma, chroma), strict=True):
        assert (plane.height, plane.width) == shape
        np.frombuffer(memoryview(plane), np.uint8)[:] = value
    frame.colorspace, frame.color_range = matrix, levels
    return frame


def fit(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    out = np.full((height, width, 3), 77, np.uint8)
    Fitter(width, height).into(frame, out)
    return out


@pytest.mark.parametrize("size", [(64, 48), (1280, 720), (128, 96)], ids=["same", "smaller", "larger"])
@pytest.mark.parametrize(
    ("yuv", "source", "marks"),
    [
        (RED_601, (64, 48), {}),
        (RED_709, (1280, 720), {}),
        (RED_709, (64, 48), {"matrix": BT709}),
        (RED_601, (1280, 720), {"matrix": BT601}),
        (RED_601_FULL, (64, 48), {"levels": FULL}),
        (RED_601, (64, 48), {"levels": LIMITED}),
    ],
    ids=["SD unmarked", "HD unmarked", "SD marked 709", "HD marked 601", "full range", "limited range"],
)
def test_matrix_and_range_are_obeyed(
    yuv: tuple[int, int, int], source: tuple[int, int], marks: dict[str, Any], size: tuple[int, int]
) -> None:
    out = fit(plain_frame(yuv, *source, **marks), *size)
    assert np.abs(out.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("levels", [LIMITED, FULL])
def test_white_is_white_and_black_is_black(levels: int) -> None:
    low, high = (0, 255) if levels == FULL else (16, 235)
    for luma, expected in ((low, 0), (high, 255)):
        out = fit(plain_frame((luma, 128, 128), 64, 48, levels=levels), 64, 48)
        assert np.abs(out.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1280, 720), (512, 512)),
        ((720, 1280), (512, 512)),
        ((640, 480), (640, 480)),
        ((3840, 2160), (512, 512)),
        ((320, 240), (1024, 576)),
        ((642, 362), (511, 383)),
    ],
)
def test_the_centre_is_kept_and_the_whole_output_is_covered(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    frame = clip.Scene(*source).draw(4711)
    out = fit(frame, *size)
    assert read_counter(out) == 4711


@pytest.mark.parametrize("source", [(101, 75), (75, 101), (33, 1000)])
def test_odd_sizes(source: tuple[int, int]) -> None:
    out = fit(plain_frame((235, 128, 128), *source), 65, 33)
    assert out.min() >= 253


def test_the_crop_is_centred() -> None:
    """Left third red, middle white, right third blue: only white is left in a tall output."""
    rgb = np.zeros((120, 360, 3), np.uint8)
    rgb[:, :120], rgb[:, 120:240], rgb[:, 240:] = (255, 0, 0), 255, (0, 0, 255)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p")
    out = fit(frame, 64, 64)
    assert out[:, 3:-3].min() > 240


@pytest.mark.parametrize(
    "pixel_format", ["yuv422p", "yuv444p", "nv12", "yuvj420p", "yuv420p10le", "rgb24", "gray"]
)
def test_any_pixel_format(pixel_format: str) -> None:
    frame = clip.Scene(320, 240).draw(99).reformat(format=pixel_format)
    for size in ((320, 240), (256, 256)):
        assert read_counter(fit(frame, *size)) == 99


def test_one_fitter_takes_frames_of_changing_size() -> None:
    fitter, out = Fitter(256, 256), np.zeros((256, 256, 3), np.uint8)
    for number, source in enumerate([(320, 240), (640, 360), (256, 256), (640, 360), (240, 320)]):
        fitter.into(clip.Scene(*source).draw(number), out)
        assert read_counter(out) == number


def test_a_phone_held_upright_is_turned() -> None:
    """A file whose track says that it is shown turned by 90 degrees."""
    buffer, width, height = io.BytesIO(), 160, 96
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        rgb = np.zeros((height, width, 3), np.uint8)
        rgb[:, : width // 2] = 255  # the left half is white
        frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    turned = turn_track(buffer.getvalue())
    with av.open(io.BytesIO(turned)) as container:
        (decoded,) = container.decode(video=0)
        assert decoded.rotation in (90, -90, 270)
        out = fit(decoded, height, width)
        top, bottom = out[: width // 2 - 4].mean(), out[width // 2 + 4 :].mean()
        # 90 degrees clockwise: left becomes top; counterclockwise: left becomes bottom.
        assert (top > 240 and bottom < 15) if decoded.rotation == -90 else (bottom > 240 and top < 15)


def turn_track(mp4: bytes) -> bytes:
    """Put a clockwise quarter turn into the track header's matrix."""
    at = mp4.index(b"tkhd") + 4 + 40
    quarter = b"".join(
        value.to_bytes(4, signed=True) for value in (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    )
    return mp4[:at] + quarter + mp4[at + 36 :]


def test_a_wrong_output_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        Fitter(64, 64).into(plain_frame((0, 0, 0), 64, 64), np.zeros((64, 65, 3), np.uint8))
    with pytest.raises(ValueError, match="cannot be"):
        Fitter(0, 64)


@pytest.mark.parametrize(
    ("source", "size", "crop"),
    [
        ((1280, 720), (512, 512), (720, 720)),
        ((720, 1280), (512, 512), (720, 720)),
        ((640, 480), (1280, 960), (640, 480)),
        ((640, 480), (1280, 720), (640, 360)),
    ],
)
def test_crop_sizes(source: tuple[int, int], size: tuple[int, int], crop: tuple[int, int]) -> None:
    assert cover_crop(*source, *size) == crop
