"""Loading a model from `MODEL_DIR`, with its LoRAs and ControlNets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ai_runner_base.errors import CallerError, HostError

from . import store
from .params import TINY_RANDOM
from .quiet import hush
from .tiny import TINY_VAE_FOLDER, tiny_model


@dataclass(frozen=True)
class Choice:
    """What is to be loaded, and how; equal choices need no reload.

    :param model: name on the hub, folder, or ``tiny-random``
    :param loras: (name, weight) each
    :param controlnets: names
    :param compiled: by torch.compile
    """

    model: str
    tiny_vae: bool
    loras: tuple[tuple[str, float], ...]
    controlnets: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    compiled: bool


@dataclass(frozen=True)
class Models:
    """Networks, ready to be called, on their device.

    :param vae: ``AutoencoderTiny`` or ``AutoencoderKL``
    :param scheduler: ``LCMScheduler``
    """

    choice: Choice
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    controlnets: tuple[Any, ...]


@dataclass(frozen=True)
class Places:
    """Folders and files of what is to be loaded: all of it is there."""

    model: Path
    vae: Path
    loras: tuple[tuple[Path, float], ...]
    controlnets: tuple[Path, ...]


def locate(choice: Choice) -> Places:
    """Find everything, without loading.

    :raises HostError: something is not there; says how to fetch it
    :raises CallerError: something is not what it should be
    """
    if choice.model == TINY_RANDOM:
        model = tiny_model()
        vae = model / TINY_VAE_FOLDER if choice.tiny_vae else model / "vae"
    else:
        model = store.find_model(choice.model)
        _require_known_kind(choice.model, model)
        vae = store.find_network(store.TINY_VAE) if choice.tiny_vae else model / "vae"
    loras = tuple((store.find_lora(name), weight) for name, weight in choice.loras)
    return Places(model, vae, loras, tuple(store.find_network(name) for name in choice.controlnets))


def load(choice: Choice) -> Models:
    """Load everything.

    :raises HostError: something is not there, or cannot be used here
    :raises CallerError: a model of a kind that this pipeline does not run
    """
    from diffusers import ControlNetModel, LCMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    hush()
    places = locate(choice)
    models = Models(
        choice=choice,
        unet=_network(UNet2DConditionModel, places.model / "unet", choice),
        vae=_vae(places.vae, choice),
        text_encoder=_network(CLIPTextModel, places.model / "text_encoder", choice),
        tokenizer=CLIPTokenizer.from_pretrained(places.model / "tokenizer", local_files_only=True),
        scheduler=LCMScheduler.from_pretrained(places.model / "scheduler", local_files_only=True),
        controlnets=tuple(_network(ControlNetModel, place, choice) for place in places.controlnets),
    )
    _fuse(models, places.loras)
    if choice.compiled:
        _compile(models)
    return models


def _network(kind: Any, folder: Path, choice: Choice) -> Any:
    """One network with its weights, for inference."""
    network = kind.from_pretrained(
        folder,
        variant=store.variant_of(folder),
        torch_dtype=choice.dtype,
        local_files_only=True,
        use_safetensors=True,
    )
    network.requires_grad_(False).eval()
    return network.to(choice.device)


def _vae(folder: Path, choice: Choice) -> Any:
    from diffusers import AutoencoderKL, AutoencoderTiny

    is_tiny = '"AutoencoderTiny"' in (folder / "config.json").read_text()
    return _network(AutoencoderTiny if is_tiny else AutoencoderKL, folder, choice)


def _require_known_kind(name: str, folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text())
    if config.get("addition_embed_type") is not None:
        raise CallerError(
            f"{name} is a Stable Diffusion XL model; this pipeline runs Stable Diffusion 1 and 2",
            hint="use stabilityai/sd-turbo or another model of that family",
        )
    if (channels := config.get("in_channels", 4)) != 4:
        raise CallerError(f"{name} takes latents of {channels} channels (is it for inpainting?), not of 4")


def _fuse(models: Models, loras: tuple[tuple[Path, float], ...]) -> None:
    """Add LoRAs to the weights, so that they cost nothing while painting."""
    if not loras:
        return
    from diffusers import StableDiffusionPipeline

    host = StableDiffusionPipeline(
        vae=models.vae,
        text_encoder=models.text_encoder,
        tokenizer=models.tokenizer,
        unet=models.unet,
        scheduler=models.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for index, (path, weight) in enumerate(loras):
        try:
            host.load_lora_weights(
                path.parent, weight_name=path.name, adapter_name=f"lora{index}", local_files_only=True
            )
        except (ValueError, RuntimeError, LookupError) as error:
            raise CallerError(f"LoRA {path.name} does not fit {models.choice.model}: {error}") from error
        host.set_adapters([f"lora{index}"])
        host.fuse_lora(lora_scale=weight, adapter_names=[f"lora{index}"])
    host.unload_lora_weights()


def _compile(models: Models) -> None:
    """Have the networks compiled when they are first called, by what is here."""
    for network in (models.unet, models.vae.encoder, models.vae.decoder, *models.controlnets):
        network.compile(dynamic=False)


def compile_error(error: Exception) -> HostError:
    """What torch.compile raised, for people."""
    first_line = str(error).strip().partition("\n")[0][:300]
    return HostError(
        f"torch.compile does not work here: {type(error).__name__}: {first_line}",
        hint="install a C++ compiler (on a GPU, triton too), or set acceleration to none",
    )
