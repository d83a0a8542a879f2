"""Weights that are not on the model hub; an answer that is no video."""

from ..shape import Requirements
from .schema import Config


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
