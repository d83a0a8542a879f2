"""One in, one out, by its red channel; takes a device only, and says nothing of its end."""

import torch

from ..shape import Requirements
from .schema import Config


class GrayNode:
    @classmethod
    def get_config_class(cls):
        return Config

    def __init__(self, device=None):
        self.device = device

    def prepare(self, **kwargs):
        return Requirements(1)

    def __call__(self, *, video):
        red = torch.cat(video).to(torch.float32)[..., :1] / 255
        return red + torch.full((1, 1, 1, 3), 0.0)  # older versions gave the video alone
