"""Has something to prepare."""

import logging

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def transform(self, frame, params):
        return frame

    @classmethod
    def prepare_models(cls):
        print("50 %")
        logging.getLogger("prepares").info("compiled")


class Broken(Sample):
    @classmethod
    def prepare_models(cls):
        raise OSError("no space left")
