"""import: takes longer than the limit that the test sets."""

import time

from ai_runner_base import FramePipeline

time.sleep(1.5)


class Slow(FramePipeline):
    def transform(self, frame, params):
        return frame
