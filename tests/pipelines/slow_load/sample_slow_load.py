"""Takes four seconds to load, blocking its interpreter."""

import time

from ai_runner_base import FramePipeline

LOAD_S = 4.0


class Sample(FramePipeline):
    def setup(self, params):
        time.sleep(LOAD_S)

    def transform(self, frame, params):
        return frame.array
