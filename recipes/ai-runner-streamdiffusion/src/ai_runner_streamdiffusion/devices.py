"""Which device paints, and in which number format."""

from __future__ import annotations

import torch

from ai_runner_base.errors import CallerError

from .params import AUTO, SD_TURBO, TINY_RANDOM

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def default_device() -> torch.device:
    """The current CUDA device, else the CPU."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def model_name(model_id: str, device: torch.device) -> str:
    """What ``auto`` means on a device: a model that is of use there."""
    if model_id != AUTO:
        return model_id
    return SD_TURBO if device.type == "cuda" else TINY_RANDOM


def number_format(wanted: str, model: str, device: torch.device) -> torch.dtype:
    """Choose the dtype of weights.

    :param wanted: a name of torch's, or ``auto``
    :raises CallerError: float16 on a CPU, which has no arithmetic for it: minutes for a frame
    """
    if wanted == "float16" and device.type == "cpu":
        raise CallerError(
            "dtype = 'float16': a CPU takes minutes for a frame in it", hint="use bfloat16, float32 or auto"
        )
    if wanted != AUTO:
        return _FORMATS[wanted]
    if model == TINY_RANDOM:
        return torch.float32
    return torch.bfloat16 if device.type == "cpu" else torch.float16


def expectation(model: str, device: torch.device) -> str:
    """What somebody who starts this is to expect, in a sentence; empty where there is nothing to warn of."""
    if model == TINY_RANDOM:
        return (
            f"{TINY_RANDOM} paints noise: its weights are random. For pictures, use a GPU, or a model_id such as "
            f"{SD_TURBO} (about 0.4 frames a second at 512x512 on two CPU cores)."
        )
    if device.type == "cpu":
        return f"No GPU: {model} will give far less than one frame a second (sd-turbo at 512x512 on two cores: 0.4)."
    return ""
