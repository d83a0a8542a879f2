"""Holds the interpreter's lock for ever with the first frame: no other thread of the process runs again."""

import ctypes

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def transform(self, frame, params):
        ctypes.PyDLL(None).sleep(3600)
        return frame
