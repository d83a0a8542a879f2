"""What it does with a frame depends on the frame's first value; 0 is an echo."""

import faulthandler
import logging
import os
import sys
import time

import numpy as np

from ai_runner_base import FramePipeline, VideoFrame

log = logging.getLogger("per_value")


def raises(frame):
    raise ValueError("this frame is not to my taste")


def hangs(frame):
    time.sleep(3600)


def segfaults(frame):
    faulthandler._sigsegv()


def exits(frame):
    sys.exit(7)


def prints(frame):
    print("printed with print")
    os.write(1, b"written to descriptor 1\n")
    os.write(2, b"half a line, ")
    os.write(2, b"and its end \xff\n")
    log.warning("logged in\ntwo lines")
    return frame


def reports(frame):
    log.error("out of noodles", extra={"report_error": True})
    return frame


def huge(frame):
    return np.zeros((10_000, 10_000, 3), np.uint8)


def floats(frame):
    return np.full((1, 16, 32, 3), 0.5, np.float32)


def not_numbers(frame):
    return np.full((16, 32, 3), np.nan, np.float64)


def integers(frame):
    return np.zeros((16, 32, 3), np.int64)


def nothing(frame):
    return None


def other_time(frame):
    return VideoFrame(frame.array, frame.pts + 1000, frame.time_base)


def no_time(frame):
    return VideoFrame(frame.array, 2**70, frame.time_base)


def slow(frame):
    time.sleep(0.15)
    return frame


ACTS = {
    function.__name__: number
    for number, function in enumerate(
        [
            raises,
            hangs,
            segfaults,
            exits,
            prints,
            reports,
            huge,
            floats,
            not_numbers,
            integers,
            nothing,
            other_time,
            slow,
            no_time,
        ],
        start=1,
    )
}


class Sample(FramePipeline):
    def transform(self, frame, params):
        value = int(frame.array[0, 0, 0])
        for name, number in ACTS.items():
            if value == number:
                return globals()[name](frame)
        return frame
