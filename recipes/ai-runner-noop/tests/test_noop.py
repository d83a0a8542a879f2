import asyncio
import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np

from ai_runner_base import BaseParams, VideoFrame
from ai_runner_noop.pipeline import Noop


def test_frame_comes_back_untouched():
    """The very same object comes back: no copy, no conversion."""
    frame = VideoFrame(np.zeros((64, 64, 3), np.uint8), 7, Fraction(1, 30))
    assert Noop().process(frame) is frame
    assert Noop().transform(frame, BaseParams()) is frame


def test_frames_go_through_the_asynchronous_interface():
    """What the recipe's test runs also passes here."""
    spec = importlib.util.spec_from_file_location("push_frames", Path(__file__).with_name("push_frames.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert asyncio.run(module.push_frames()) is None
