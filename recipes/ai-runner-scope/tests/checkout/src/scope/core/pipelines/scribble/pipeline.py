"""Weights that are not on the model hub; an answer that is no video."""

from typing import ClassVar

from ..shape import BasePipelineConfig, Drive, Requirements


class Config(BasePipelineConfig):
    pipeline_id = "scribble"
    artifacts: ClassVar = [Drive("an-id", ["net.pth"], "scribble")]


class ScribbleNode:
    @classmethod
    def get_config_class(cls):
        return Config

    def __init__(self, device=None):
        self.device = device

    def prepare(self, **kwargs):
        return Requirements(1)

    def __call__(self, **kwargs):
        return {"audio": None}
