"""The steps that a frame goes through, as numbers: noise levels and the scalings of a consistency model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import LCMScheduler

_ORIGINAL_STEPS = 50
"""Steps that consistency models are distilled for; a longer schedule has a finer grid."""


@dataclass(frozen=True)
class Schedule:
    """One row for each step of a frame. All but `timesteps` are (n, 1, 1, 1) float32.

    :param timesteps: (n,) int64, what the UNet is told
    :param signal: square root of the share of the picture in a noisy latent
    :param noise: square root of the share of noise
    :param keep: how much of the noisy latent is kept in an estimate (``c_skip``)
    :param trust: how much of the prediction goes into it (``c_out``)
    """

    timesteps: torch.Tensor
    signal: torch.Tensor
    noise: torch.Tensor
    keep: torch.Tensor
    trust: torch.Tensor

    @property
    def steps(self) -> int:
        """How many steps a frame goes through."""
        return len(self.timesteps)


def make_schedule(
    scheduler: LCMScheduler, t_index_list: list[int], num_inference_steps: int, device: torch.device
) -> Schedule:
    """Pick steps from a scheduler's grid.

    :param t_index_list: places in a schedule of `num_inference_steps`
    """
    scheduler.set_timesteps(
        num_inference_steps, original_inference_steps=max(_ORIGINAL_STEPS, num_inference_steps)
    )
    timesteps = scheduler.timesteps.cpu()[t_index_list]
    share = scheduler.alphas_cumprod.cpu()[timesteps].float()
    scalings = [scheduler.get_scalings_for_boundary_condition_discrete(step) for step in timesteps]
    keep, trust = (torch.stack([torch.as_tensor(pair[side]) for pair in scalings]) for side in (0, 1))

    def column(values: torch.Tensor) -> torch.Tensor:
        return values.float().reshape(-1, 1, 1, 1).to(device)

    return Schedule(
        timesteps.to(device), column(share.sqrt()), column((1 - share).sqrt()), column(keep), column(trust)
    )
