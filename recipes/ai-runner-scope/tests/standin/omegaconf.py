"""As much of OmegaConf as nodes use: settings by attribute."""

from types import SimpleNamespace


class OmegaConf:
    @staticmethod
    def create(settings):
        return SimpleNamespace(**settings)
