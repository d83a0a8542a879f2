"""Its setup always raises."""

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def setup(self, params):
        raise FileNotFoundError("weights.safetensors is not there")

    def transform(self, frame, params):
        return frame
