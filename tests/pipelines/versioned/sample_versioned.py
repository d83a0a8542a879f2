"""Paints with the version of a library that another pipeline needs in another version."""

import contested_library

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def transform(self, frame, params):
        return frame.array * 0 + contested_library.VERSION
