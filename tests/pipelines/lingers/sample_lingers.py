"""Leaves an exit handler behind that takes a minute."""

import atexit
import time

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def setup(self, params):
        atexit.register(time.sleep, 60)

    def transform(self, frame, params):
        return frame
