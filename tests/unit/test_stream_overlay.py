"""The waiting picture."""

from __future__ import annotations

import numpy as np
import pytest

from ai_runner_base.stream.overlay import Overlay

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("width", "height"), [(512, 512), (64, 64), (641, 359)])
def test_it_draws_at_any_size_and_moves(width: int, height: int) -> None:
    overlay, first, second = Overlay(width, height), *np.zeros((2, height, width, 3), np.uint8)
    overlay.draw(first, "loading", 0.0)
    overlay.draw(second, "loading", 0.4)
    assert first.max() == 255
    assert (first != second).any()


def test_the_two_captions_differ() -> None:
    overlay, first, second = Overlay(512, 512), *np.zeros((2, 512, 512, 3), np.uint8)
    overlay.draw(first, "loading", 0.0)
    overlay.draw(second, "restarting", 0.0)
    assert (first != second).any()


def test_the_base_is_the_last_output_greyed_until_it_is_too_old() -> None:
    overlay, out = Overlay(512, 512), np.zeros((512, 512, 3), np.uint8)
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:256] = (255, 240, 10)
    overlay.remember(picture, 10.0)
    overlay.draw(out, "loading", 11.0)
    assert tuple(out[0, 0]) == (96, 96, 96)
    assert tuple(out[-1, 0]) == (16, 16, 16)
    overlay.draw(out, "loading", 15.1)
    assert tuple(out[0, 0]) == tuple(out[-1, 0]) == (64, 64, 64)


def test_a_picture_of_another_size_is_not_taken_as_base() -> None:
    overlay, out = Overlay(128, 128), np.zeros((128, 128, 3), np.uint8)
    overlay.remember(np.full((64, 64, 3), 255, np.uint8), 0.0)
    overlay.draw(out, "loading", 0.1)
    assert tuple(out[0, 0]) == (64, 64, 64)
