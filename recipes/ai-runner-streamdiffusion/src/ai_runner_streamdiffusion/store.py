"""Where models lie: `MODEL_DIR`, laid out as the hub's own cache, so that models fetched by other programs are found.

Serving never fetches: what is missing is an error that says how to fetch it. `fetch` is what
``ai-runner prepare`` runs; interrupted, it goes on where it was.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ai_runner_base.errors import CallerError, HostError, PeerError

MODELS_VARIABLE: Final = "STREAMDIFFUSION_MODELS"
"""Environment variable: what ``prepare`` fetches, names on the hub with spaces between."""

MODEL_PARTS: Final = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""Folders of a Stable Diffusion model that are used."""
TINY_VAE: Final = "madebyollin/taesd"
_WEIGHTS: Final = ".safetensors"
_SMALL_FILES: Final = (".json", ".txt")

_log = logging.getLogger("ai_runner_streamdiffusion")


class ModelMissingError(HostError):
    """A model is not in `MODEL_DIR`, or not all of it."""

    def __init__(self, name: str, what: str) -> None:
        command = "ai-runner prepare streamdiffusion"
        super().__init__(
            f"{what} (MODEL_DIR is {model_dir()})", hint=f'run: {MODELS_VARIABLE}="{name}" {command}'
        )


def model_dir() -> Path:
    """`MODEL_DIR`, else a folder of the user's cache."""
    if told := os.environ.get("MODEL_DIR"):
        return Path(told)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ai-runner" / "models"


def find_model(name: str) -> Path:
    """Folder of a complete Stable Diffusion model.

    :param name: on the hub, or a folder
    :raises HostError: it is not here; says how to fetch it
    :raises CallerError: it is no model that this pipeline can run
    """
    folder = _folder_of(name)
    if not (folder / "model_index.json").exists():
        raise CallerError(
            f"{name} is no Stable Diffusion model: it has no model_index.json",
            hint="name a repository in diffusers' layout",
        )
    for part in MODEL_PARTS:
        _require_part(name, folder / part)
    return folder


def find_network(name: str) -> Path:
    """Folder of one complete network: a ControlNet or an autoencoder; else as `find_model`."""
    folder = _folder_of(name)
    _require_part(name, folder)
    return folder


def find_lora(name: str) -> Path:
    """File of a LoRA.

    :param name: ``owner/name`` or ``owner/name/file.safetensors`` on the hub, or a path
    :raises HostError: it is not here; says how to fetch it
    :raises CallerError: the repository has several, and none was named
    """
    if Path(name).is_file():
        return Path(name)
    repository, file_name = _split_file(name)
    folder = _folder_of(repository, name)
    files = sorted(folder.glob(f"*{_WEIGHTS}"))
    wanted = [path for path in files if path.name in (file_name, "pytorch_lora_weights.safetensors")]
    chosen = wanted or ([] if file_name else files)
    if len(chosen) == 1:
        return chosen[0]
    if file_name or not files:
        raise ModelMissingError(name, f"LoRA {name!r} is not here")
    names = ", ".join(path.name for path in files)
    raise CallerError(f"{name} has several LoRAs: {names}", hint=f"write {name}/{files[0].name}")


def variant_of(folder: Path) -> str | None:
    """``fp16`` where a network is there in half precision, which is half the reading."""
    return "fp16" if any(folder.glob(f"*.fp16{_WEIGHTS}")) else None


def _split_file(name: str) -> tuple[str, str]:
    owner, _, rest = name.partition("/")
    repository, _, file_name = rest.partition("/")
    return f"{owner}/{repository}", file_name


def _folder_of(name: str, asked: str = "") -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise CallerError(f"{name!r} is neither a folder nor a name on the hub: {error}") from None
    # Not by the hub's own function: since 2.x it takes a folder without the files that nobody needs for incomplete.
    cache = model_dir() / f"models--{name.replace('/', '--')}"
    try:
        folder = cache / "snapshots" / (cache / "refs" / "main").read_text().strip()
    except OSError:
        raise ModelMissingError(asked or name, f"model {asked or name!r} is not here") from None
    if not folder.is_dir():
        raise ModelMissingError(asked or name, f"model {asked or name!r} is not here")
    return folder


def _require_part(name: str, folder: Path) -> None:
    """Check that a folder has its description, and its weights if it is a network."""
    small = list(folder.glob("*.json")) + list(folder.glob("*.txt"))
    is_network = (folder / "config.json").exists() and folder.name not in ("tokenizer", "scheduler")
    if small and (not is_network or any(folder.glob(f"*{_WEIGHTS}"))):
        return
    if any(folder.glob("*.bin")):
        raise CallerError(
            f"{name} keeps {folder.name} in a pickle, which could run any code; this pipeline reads safetensors",
            hint="use a repository that has safetensors",
        )
    raise ModelMissingError(name, f"model {name!r} is not complete: {folder.name} is missing")


# Fetching


def fetch(name: str) -> None:
    """Fetch from the hub what is used of a model, network or LoRA; nothing if it is there.

    :param name: on the hub
    :raises PeerError: the hub cannot be reached, or does not have it
    """
    if _is_here(name):
        _log.info("%s is in %s", name, model_dir())
        return
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repository, file_name = _split_file(name)
    try:
        files = [file_name] if file_name else wanted_files(_listed(repository))
        _log.info("fetching %s: %d files into %s", name, len(files), model_dir())
        snapshot_download(repository, cache_dir=model_dir(), allow_patterns=files)
    except (HfHubHTTPError, OSError) as error:
        raise _fetch_error(name, error) from error


def _listed(repository: str) -> list[str]:
    """All files of a repository on the hub."""
    from huggingface_hub import HfApi

    return [file.rfilename for file in HfApi().model_info(repository).siblings or ()]


def _is_here(name: str) -> bool:
    for find in (find_model, find_network, find_lora):
        try:
            find(name)
        except (HostError, CallerError):
            continue
        return True
    return False


def wanted_files(files: Sequence[str]) -> list[str]:
    """Choose the files of a repository that are used: descriptions and one set of weights for each network.

    :param files: all, with ``/``
    """
    if "model_index.json" not in files:
        return _of_folder(files, "")
    return ["model_index.json", *(name for part in MODEL_PARTS for name in _of_folder(files, f"{part}/"))]


def _of_folder(files: Iterable[str], folder: str) -> list[str]:
    inside = [name for name in files if name.startswith(folder) and "/" not in name.removeprefix(folder)]
    weights = [name for name in inside if name.endswith(_WEIGHTS)]
    is_network = f"{folder}config.json" in inside
    if is_network:  # else these are LoRAs, all of which may be wanted
        weights = [
            name
            for name in weights
            if name.removeprefix(folder).startswith(("diffusion_pytorch_model", "model"))
        ]
        half = [name for name in weights if ".fp16" in name]
        weights = half or [name for name in weights if name.count(".") == 1]
    return [name for name in inside if name.endswith(_SMALL_FILES)] + weights


def _fetch_error(name: str, error: Exception) -> PeerError:
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    hint = (
        "unset HF_HUB_OFFLINE" if offline else "check the name and the connection, and run it again to go on"
    )
    return PeerError(f"{name} could not be fetched: {type(error).__name__}: {error}", hint=hint)
