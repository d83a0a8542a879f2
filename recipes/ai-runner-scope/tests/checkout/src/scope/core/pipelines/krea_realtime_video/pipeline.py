"""Made with something that the adapter does not know."""

from ..shape import BasePipelineConfig


class Config(BasePipelineConfig):
    pipeline_id = "krea-realtime-video"


class KreaNode:
    @classmethod
    def get_config_class(cls):
        return Config

    def __init__(self, engine, device=None):
        raise AssertionError("must not be made")
