"""Weights of a node: where they lie, which are missing, and how they are fetched.

What a node needs stands in its config class (``artifacts``). The layout is scope's own, one folder for each
repository of the model hub, so that a host that has run scope has them already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ai_runner_base.errors import HostError

from .device import keep_downloads_in, torch
from .nodes import CHOICE_VARIABLE

SCOPE_VARIABLE: Final = "DAYDREAM_SCOPE_MODELS_DIR"
"""Environment variable that scope reads."""
FOLDER: Final = "Scope--models"
"""Folder under ``MODEL_DIR``; the one of livepeer's scope-runner."""
_RAFT: Final = "optical-flow"

_WAN_FILES: Final = {
    "text_encoder_path": "WanVideo_comfy/umt5-xxl-enc-fp8_e4m3fn.safetensors",
    "tokenizer_path": "Wan2.1-T2V-1.3B/google/umt5-xxl",
}
CONFIG_FILES: Final[dict[str, dict[str, str]]] = {
    "longlive": _WAN_FILES
    | {
        "generator_path": "LongLive-1.3B/models/longlive_base.pt",
        "lora_path": "LongLive-1.3B/models/lora.pt",
    },
    "streamdiffusionv2": _WAN_FILES | {"generator_path": "StreamDiffusionV2/wan_causal_dmd_v2v/model.pt"},
    "krea-realtime-video": _WAN_FILES
    | {"generator_path": "krea-realtime-video/krea-realtime-video-14b.safetensors"},
    "memflow": _WAN_FILES | {"generator_path": "MemFlow/base.pt", "lora_path": "MemFlow/lora.pt"},
    "reward-forcing": _WAN_FILES
    | {
        "generator_path": "Reward-Forcing-T2V-1.3B/rewardforcing.pt",
        "vae_path": "Wan2.1-T2V-1.3B/Wan2.1_VAE.pth",
    },
}
"""Files that a node is told of when it is made, under the models folder, by the name of the setting."""

_log = logging.getLogger(__name__)


def models_dir() -> Path:
    """The folder of all weights; scope is told of it, too."""
    given = os.environ.get(SCOPE_VARIABLE)
    if not given:
        root = os.environ.get("MODEL_DIR")
        given = os.path.join(root, FOLDER) if root else "~/.daydream-scope/models"  # noqa: PTH118 - ~ stays
    folder = Path(given).expanduser().resolve()
    os.environ[SCOPE_VARIABLE] = str(folder)
    keep_downloads_in(str(folder / "torch"))
    return folder


def missing(name: str, config: type[Any]) -> list[Path]:
    """Files and folders that a node needs and that are not there."""
    folder = models_dir()
    wanted = [path for artifact in _artifacts(config) for path in _paths(artifact, folder)]
    wanted += [path for path, _ in _raft()] if name == _RAFT else []
    return [path for path in wanted if not _is_there(path)]


def require(name: str, config: type[Any]) -> None:
    """Refuse to load a node without its weights.

    :raises HostError: some are missing; says how to get them
    """
    if lacking := missing(name, config):
        raise HostError(
            f"scope's pipeline {name!r} lacks {len(lacking)} of its weights, such as {lacking[0]}",
            hint=f"run: {CHOICE_VARIABLE}={name} ai-runner prepare scope",
        )


def fetch(name: str, config: type[Any]) -> None:
    """Download what is missing. Whatever is complete stays as it is.

    :raises HostError: it is not on the model hub, or the hub's client is not installed
    """
    folder = models_dir()
    for artifact in _artifacts(config):
        if not all(_is_there(path) for path in _paths(artifact, folder)):
            _fetch_repository(name, artifact, folder)
    for path, weights in _raft() if name == _RAFT else ():
        if not _is_there(path):
            weights.get_state_dict(progress=False)


def _artifacts(config: type[Any]) -> Sequence[Any]:
    return getattr(config, "artifacts", None) or ()


def _paths(artifact: Any, folder: Path) -> list[Path]:
    repository = getattr(artifact, "repo_id", None) or getattr(artifact, "name", None) or ""
    return [folder / repository.rpartition("/")[2] / file for file in getattr(artifact, "files", None) or ()]


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.is_file()


def _fetch_repository(name: str, artifact: Any, models: Path) -> None:
    repository = getattr(artifact, "repo_id", None)
    if repository is None:
        raise HostError(
            f"scope's pipeline {name!r} has weights that are not on the model hub: {artifact!r}",
            hint=f"fetch them by hand into {models}",
        )
    try:
        hub = import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise HostError(
            "fetching scope's weights needs huggingface_hub", hint="add huggingface_hub"
        ) from error
    folder = models / repository.rpartition("/")[2]
    _log.info("fetching %s into %s", repository, folder)
    patterns = [pattern for file in artifact.files for pattern in (file, f"{file}/*")]
    hub.snapshot_download(repository, allow_patterns=patterns, local_dir=str(folder))


def _raft() -> Iterator[tuple[Path, Any]]:
    """RAFT in both sizes. It comes with torchvision, which fetches weights into torch's folder."""
    models = import_module("torchvision.models.optical_flow")
    folder = Path(torch().hub.get_dir()) / "checkpoints"
    for size in ("Small", "Large"):
        weights = getattr(models, f"Raft_{size}_Weights").DEFAULT
        yield folder / weights.url.rpartition("/")[2], weights
