"""Blends of several tensors: of prompts' embeddings, and of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_ALIGNED = 0.9995
"""Cosine above which a circle is as good as a line, and its formula would divide by nearly nothing."""

Parts = Sequence[tuple[torch.Tensor, float]]
"""Tensors of one shape, each with its weight."""


def linear(parts: Parts, *, normalize: bool) -> torch.Tensor:
    """Sum by weights.

    :param normalize: make the weights shares of 1 first
    """
    whole = sum(weight for _, weight in parts) if normalize else 1.0
    return torch.stack([tensor * (weight / whole) for tensor, weight in parts]).sum(0)


def slerp(parts: Parts) -> torch.Tensor:
    """Blend along a circle, vector by vector of the last axis; weights count as shares.

    More than two are blended one after the other, each by its share of those so far.
    """
    parts = [part for part in parts if part[1] > 0]
    (blended, total), *others = parts
    for tensor, weight in others:
        total += weight
        blended = _arc(blended, tensor, weight / total)
    return blended


def _arc(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    cosine = torch.nn.functional.cosine_similarity(one, other, dim=-1).unsqueeze(-1)
    angle = torch.arccos(cosine.clamp(-_ALIGNED, _ALIGNED))
    arc = (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * other) / torch.sin(angle)
    return torch.where(cosine.abs() < _ALIGNED, arc, torch.lerp(one, other, share))


def noise(seeds: Sequence[tuple[int, float]], shape: tuple[int, ...], method: str) -> torch.Tensor:
    """Normal noise of one seed or of a blend; of variance 1 whatever the weights, as the model expects it.

    Made on the CPU, so that a seed means the same picture on every device.

    :param seeds: each with its weight
    :param shape: rows first; each row is noise of its own
    :param method: ``linear`` or ``slerp``
    :return: float32
    """
    parts = [(_normal(seed, shape), weight) for seed, weight in seeds if weight > 0]
    if method == "slerp":
        flat = [(tensor.flatten(1), weight) for tensor, weight in parts]
        return slerp(flat).reshape(shape)
    spread = sum(weight**2 for _, weight in parts) ** 0.5
    return linear([(tensor, weight / spread) for tensor, weight in parts], normalize=False)


def _normal(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
