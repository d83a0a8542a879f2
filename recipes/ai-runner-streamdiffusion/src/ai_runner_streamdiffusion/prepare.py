"""What ``ai-runner prepare streamdiffusion`` does: fetch models, so that serving needs no network."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from . import store
from .devices import default_device, expectation, model_name
from .params import AUTO, TINY_RANDOM
from .tiny import tiny_model

_log = logging.getLogger("ai_runner_streamdiffusion")


def prepare(environ: Mapping[str, str]) -> None:
    """Fetch what `STREAMDIFFUSION_MODELS` names, else what ``auto`` means on this host; TAESD with any of them.

    :param environ: environment variables
    :raises RunnerError: something cannot be fetched; what was fetched stays
    """
    names = environ.get(store.MODELS_VARIABLE, "").replace(",", " ").split()
    device = default_device()
    names = names or [model_name(AUTO, device)]
    for name in names:
        if name == TINY_RANDOM:
            _log.info("%s is in %s", name, tiny_model())
        else:
            store.fetch(name)
    if any(name != TINY_RANDOM for name in names):
        store.fetch(store.TINY_VAE)
    for sentence in filter(None, (expectation(name, device) for name in names)):
        _log.info("%s", sentence)
