"""The model `tiny-random`: a Stable Diffusion in shape, with random weights, made on the spot in a third of a second.

It paints noise. It is there so that everything around a model can be run and tested where there is none: 1.5 MB,
3 parts in 10,000 of sd-turbo's weights.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ai_runner_base.errors import HostError

from .params import TINY_RANDOM
from .quiet import hush
from .store import model_dir

TINY_VAE_FOLDER = "tiny_vae"
"""Beside the parts that every model has: what TAESD is to others."""
_TEXT_WIDTH = 32
_SEED = 2


def tiny_model() -> Path:
    """Folder of the model; made if it is not there.

    :raises HostError: `MODEL_DIR` cannot be written
    """
    folder = model_dir() / TINY_RANDOM
    if (folder / "model_index.json").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{TINY_RANDOM}-", dir=folder.parent))
        _make(made)
        _move_in(made, folder)
    except OSError as error:
        raise HostError(
            f"{TINY_RANDOM} cannot be written to {folder}: {error.strerror or error}",
            hint="set MODEL_DIR to a folder that can be written",
        ) from error
    return folder


def _move_in(made: Path, folder: Path) -> None:
    """Rename in one step; a worker that was faster has made the same."""
    made.chmod(0o755)
    try:
        made.rename(folder)
    except OSError:
        if not (folder / "model_index.json").exists():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make(folder: Path) -> None:
    from diffusers import AutoencoderKL, AutoencoderTiny, EulerDiscreteScheduler

    hush()
    rng_state = torch.get_rng_state()
    torch.manual_seed(_SEED)
    try:
        _unet().save_pretrained(folder / "unet")
        AutoencoderKL(**_KL).save_pretrained(folder / "vae")
        AutoencoderTiny(**_TINY_VAE).save_pretrained(folder / TINY_VAE_FOLDER)
        _text_encoder().save_pretrained(folder / "text_encoder")
    finally:
        torch.set_rng_state(rng_state)
    _save_tokenizer(folder / "tokenizer")
    EulerDiscreteScheduler(**_SCHEDULER).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))


_KL: dict[str, Any] = {
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
}
_TINY_VAE: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8, 8),
    "num_encoder_blocks": (1, 1, 1, 1),
    "num_decoder_blocks": (1, 1, 1, 1),
}
_SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def _unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=_TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )


def _text_encoder() -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return CLIPTextModel(config)


def _save_tokenizer(folder: Path) -> None:
    """A vocabulary of single letters, as every CLIP tokenizer begins with."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in _byte_letters()]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as place:
        vocabulary, merges = Path(place, "vocab.json"), Path(place, "merges.txt")
        vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
        merges.write_text("#version: 0.2\n")
        CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77).save_pretrained(folder)


def _byte_letters() -> list[int]:
    """A visible character for each byte, in the order that byte-level tokenizers use (GPT-2's table)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return visible + [256 + index for index in range(256 - len(visible))]
