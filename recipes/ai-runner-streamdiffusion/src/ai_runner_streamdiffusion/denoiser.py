"""One pass of the UNet: rows of frames, each at its own step, become better estimates of their paintings.

Guidance is that of the paper (Kodaira et al., StreamDiffusion, 2023, section 3.2): what the prompt leads away from is
not asked of the UNet at each step, but worked out from an anchor. The anchor is a clean latent: the frame's own
(``self``), or what the negative prompt made of it at the first step (``initialize``). The noise that would lead
from a row back to its anchor stands for the negative prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .schedule import Schedule


@dataclass(frozen=True)
class Conditions:
    """What a pass is told beside the rows; all of it may change between two.

    :param schedule: the steps
    :param noise: (n, C, h, w), a row for each step
    :param prompt: (1, tokens, width) embedding
    :param negative: the same, of what to keep away from
    :param guidance_scale: 1 switches guidance off
    :param cfg_type: ``none``, ``self``, ``initialize`` or ``full``
    :param delta: weight of the worked-out negative prediction
    :param control_scales: one for each ControlNet; 0 leaves it out
    """

    schedule: Schedule
    noise: torch.Tensor
    prompt: torch.Tensor
    negative: torch.Tensor
    guidance_scale: float
    cfg_type: str
    delta: float
    control_scales: tuple[float, ...]

    @property
    def guided(self) -> bool:
        """Whether a negative prediction counts at all."""
        return self.guidance_scale != 1.0 and self.cfg_type != "none"


@dataclass(frozen=True)
class Rows:
    """Frames on their way, the newest first.

    :param estimates: (n, C, h, w) float32, clean latents: what each painting looks like so far
    :param anchors: the same shape: what guidance leads away from
    :param controls: for each ControlNet (n, 3, H, W) in [0, 1]
    """

    estimates: torch.Tensor
    anchors: torch.Tensor
    controls: tuple[torch.Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.estimates)

    def __getitem__(self, rows: slice) -> Rows:
        controls = tuple(control[rows] for control in self.controls)
        return Rows(self.estimates[rows], self.anchors[rows], controls)

    def followed_by(self, others: Rows) -> Rows:
        """These rows, then those."""
        pairs = zip(self.controls, others.controls, strict=True)
        return Rows(
            torch.cat((self.estimates, others.estimates)),
            torch.cat((self.anchors, others.anchors)),
            tuple(torch.cat(pair) for pair in pairs),
        )

    def repeated(self, count: int) -> Rows:
        """A single row, `count` times."""
        return Rows(
            self.estimates.expand(count, -1, -1, -1),
            self.anchors.expand(count, -1, -1, -1),
            tuple(control.expand(count, -1, -1, -1) for control in self.controls),
        )


class Denoiser:
    """A UNet with its ControlNets.

    :param unet: ``UNet2DConditionModel``
    :param controlnets: ``ControlNetModel`` each
    :param prediction_type: what the UNet predicts: ``epsilon`` (the noise) or ``v_prediction``
    """

    def __init__(self, unet: Any, controlnets: Sequence[Any], prediction_type: str) -> None:
        self._unet, self._controlnets = unet, tuple(controlnets)
        self._predicts_velocity = prediction_type == "v_prediction"
        self._dtype = unet.dtype

    def __call__(self, rows: Rows, first_step: int, conditions: Conditions) -> Rows:
        """Take each row through one step.

        :param first_step: the step of the first row; the others follow
        :return: the same rows with their new estimates
        """
        steps = slice(first_step, first_step + len(rows))
        schedule = conditions.schedule
        signal, noise = schedule.signal[steps], schedule.noise[steps]
        noisy = signal * rows.estimates + noise * conditions.noise[steps]
        predicted, anchors = self._guided(rows, noisy, steps, conditions)
        clean = (noisy - noise * predicted) / signal
        estimates = schedule.trust[steps] * clean + schedule.keep[steps] * noisy
        return Rows(estimates, anchors, rows.controls)

    def _guided(
        self, rows: Rows, noisy: torch.Tensor, steps: slice, conditions: Conditions
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The noise in each row, as guidance has it; and the anchors."""
        signal, noise = conditions.schedule.signal[steps], conditions.schedule.noise[steps]
        negatives = self._negative_count(len(rows), steps, conditions)
        asked = self._ask(rows, noisy, steps, negatives, conditions)
        wanted, anchors = asked[negatives:], rows.anchors
        if not conditions.guided:
            return wanted, anchors
        if conditions.cfg_type == "full":
            unwanted = asked[:negatives]
        else:
            if negatives:
                anchors = torch.cat(((noisy[:1] - noise[:1] * asked[:1]) / signal[:1], anchors[1:]))
            unwanted = conditions.delta * (noisy - signal * anchors) / noise
        return unwanted + conditions.guidance_scale * (wanted - unwanted), anchors

    def _negative_count(self, count: int, steps: slice, conditions: Conditions) -> int:
        """How many rows the UNet is also asked with the negative prompt: the first so many."""
        if not conditions.guided or conditions.cfg_type == "self":
            return 0
        if conditions.cfg_type == "full":
            return count
        return 1 if steps.start == 0 else 0

    def _ask(
        self, rows: Rows, noisy: torch.Tensor, steps: slice, negatives: int, conditions: Conditions
    ) -> torch.Tensor:
        """One call of the UNet: first `negatives` rows with the negative prompt, then all with the prompt.

        :return: (negatives + n, C, h, w) float32: predicted noise
        """
        schedule = conditions.schedule
        told = conditions.prompt.expand(len(noisy), -1, -1)
        timesteps = schedule.timesteps[steps]
        latents = noisy.to(self._dtype)
        if negatives:
            told = torch.cat((conditions.negative.expand(negatives, -1, -1), told))
            timesteps = torch.cat((timesteps[:negatives], timesteps))
            latents = torch.cat((latents[:negatives], latents))
        more = self._controlled(latents, timesteps, told, rows.controls, negatives, conditions.control_scales)
        answer = self._unet(latents, timesteps, encoder_hidden_states=told, return_dict=False, **more)[0]
        predicted = answer.float()
        if not self._predicts_velocity:
            return predicted
        signal, noise = schedule.signal[steps], schedule.noise[steps]
        rows_twice = [torch.cat((part[:negatives], part)) for part in (signal, noise, noisy)]
        return rows_twice[0] * predicted + rows_twice[1] * rows_twice[2]

    def _controlled(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        told: torch.Tensor,
        controls: tuple[torch.Tensor, ...],
        negatives: int,
        scales: tuple[float, ...],
    ) -> dict[str, Any]:
        """What the ControlNets add to the UNet's layers, as arguments for it."""
        down: list[torch.Tensor] = []
        middle: torch.Tensor | None = None
        for network, control, scale in zip(self._controlnets, controls, scales, strict=True):
            if scale == 0:
                continue
            pictures = torch.cat((control[:negatives], control)).to(self._dtype)
            layers, centre = network(
                latents, timesteps, told, pictures, conditioning_scale=scale, return_dict=False
            )
            down = [a + b for a, b in zip(down, layers, strict=True)] if down else list(layers)
            middle = centre if middle is None else middle + centre
        if middle is None:
            return {}
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
