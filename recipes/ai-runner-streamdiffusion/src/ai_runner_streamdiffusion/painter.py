"""From frames to paintings: see, denoise in the stream batch, paint. One thread, no asyncio."""

from __future__ import annotations

from fractions import Fraction

import torch

from ai_runner_base import VideoFrame

from . import blend
from .control import control_picture
from .denoiser import Conditions, Denoiser, Rows
from .models import Models, compile_error
from .params import ControlNet, StreamDiffusionParams
from .prompts import PromptBook
from .schedule import make_schedule
from .still import StillFilter
from .stream_batch import StreamBatch, step_by_step

_TIME_BASE = Fraction(1, 30)


class Painter:
    """Paints the frames of one stream at a time.

    :param models: loaded for parameters of the same choice
    :param params: what to begin with
    :raises HostError: it was to be compiled, and that does not work here
    """

    def __init__(self, models: Models, params: StreamDiffusionParams) -> None:
        self.models = models
        self._device, self._dtype = models.choice.device, models.choice.dtype
        self._prompts = PromptBook(models.tokenizer, models.text_encoder)
        self._denoiser = Denoiser(models.unet, models.controlnets, models.scheduler.config.prediction_type)
        self._batch: StreamBatch[VideoFrame] = StreamBatch(self._denoiser)
        self._scale = float(models.vae.config.scaling_factor)
        self._factor = 2 ** (len(_vae_blocks(models.vae)) - 1)
        self._size = params.width, params.height
        self.apply(params)
        self._warm_up()

    @property
    def waiting(self) -> int:
        """How many frames are under way."""
        return self._batch.waiting

    @torch.inference_mode()
    def apply(self, params: StreamDiffusionParams) -> None:
        """Take over parameters of the same models and size, from the next frame on. Frames under way stay under way."""
        self._params = params
        self._controls = _in_order(params.controlnets, self.models.choice.controlnets)
        self._conditions = self._make_conditions(params)
        self._still, self._last = StillFilter(), None

    @torch.inference_mode()
    def paint(self, frame: VideoFrame) -> VideoFrame | None:
        """Take a frame in, and give out the one whose turn it is.

        :return: a frame that came n-1 frames earlier, with its painting; None when none is ready
        """
        params, own = self._params, frame.replace(None)  # its pixels are not ours to keep
        if params.enable_similar_image_filter and self._may_skip(frame):
            return self._repeat(own)
        newest = self._see(frame)
        if params.use_denoising_batch:
            ready, latent = self._batch.step(own, newest, self._conditions)
        else:
            self._batch.clear()
            ready, latent = own, step_by_step(self._denoiser, newest, self._conditions)
        return None if ready is None else self._show(ready, latent)

    @torch.inference_mode()
    def drain(self) -> list[VideoFrame]:
        """Paint the frames under way to their end, since no others come for now."""
        return [self._show(frame, latent) for frame, latent in self._batch.drain(self._conditions)]

    def clear(self) -> None:
        """Forget the frames under way, and what the last one looked like."""
        self._batch.clear()
        self._still, self._last = StillFilter(), None

    # Steps of a frame

    def _may_skip(self, frame: VideoFrame) -> bool:
        params = self._params
        steps = self._conditions.schedule.steps if params.use_denoising_batch else 1
        return self._still.may_skip(
            frame.array,
            params.similar_image_filter_threshold,
            params.similar_image_filter_max_skip_frame,
            steps,
        )

    def _repeat(self, own: VideoFrame) -> VideoFrame | None:
        """The last painting once more, for the frame whose turn it is."""
        ready = self._batch.pass_by(own) if self._params.use_denoising_batch else own
        return None if ready is None or self._last is None else ready.replace(self._last)

    def _see(self, frame: VideoFrame) -> Rows:
        """A frame as a row of the batch: its latent, and what the ControlNets are shown."""
        width, height = self._size
        picture = frame.tensor.to(self._device).permute(0, 3, 1, 2)
        if picture.shape[2:] != (height, width):  # on its way since before a change of size
            picture = torch.nn.functional.interpolate(picture, (height, width), mode="bilinear")
        encoded = self.models.vae.encode((2 * picture - 1).to(self._dtype))
        latent = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        latent = latent.float() * self._scale
        return Rows(latent, latent, tuple(self._show_controls(frame, one, picture) for one in self._controls))

    def _show_controls(self, frame: VideoFrame, control: ControlNet, picture: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) in [0, 1]: what a ControlNet is shown of a frame."""
        if control.preprocessor == "passthrough":
            return picture
        drawn = control_picture(frame.array, control.preprocessor, control.preprocessor_params)
        shown = VideoFrame(drawn, 0, frame.time_base, device=frame.device).tensor
        shown = shown.to(self._device).permute(0, 3, 1, 2)
        return torch.nn.functional.interpolate(shown, picture.shape[2:], mode="nearest")

    def _show(self, frame: VideoFrame, latent: torch.Tensor) -> VideoFrame:
        """A latent as a picture, (H, W, 3) float in [0, 1]."""
        decoded = self.models.vae.decode((latent / self._scale).to(self._dtype), return_dict=False)[0]
        self._last = decoded[0].permute(1, 2, 0).float().div_(2).add_(0.5)
        return frame.replace(self._last)

    # What a frame goes through

    def _make_conditions(self, params: StreamDiffusionParams) -> Conditions:
        schedule = make_schedule(
            self.models.scheduler, params.t_index_list, params.num_inference_steps, self._device
        )
        return Conditions(
            schedule=schedule,
            noise=self._noise(params, schedule.steps),
            prompt=self._prompts(
                params.prompt, params.prompt_interpolation_method, normalize=params.normalize_prompt_weights
            ),
            negative=self._prompts(params.negative_prompt),
            guidance_scale=params.guidance_scale,
            cfg_type=params.cfg_type,
            delta=params.delta,
            control_scales=tuple(one.conditioning_scale * one.enabled for one in self._controls),
        )

    def _noise(self, params: StreamDiffusionParams, steps: int) -> torch.Tensor:
        """(steps, C, h, w): the same for every frame, so that still things stay still."""
        channels = self.models.unet.config.in_channels
        shape = (steps, channels, params.height // self._factor, params.width // self._factor)
        seeds = params.seed if isinstance(params.seed, list) else [(params.seed, 1.0)]
        noise = blend.noise(seeds, shape, params.seed_interpolation_method)
        if not params.do_add_noise:
            noise[1:] = 0
        return noise.to(self._device)

    def _warm_up(self) -> None:
        """Paint once, so that the first frame of a stream is as fast as the others."""
        width, height = self._size
        black = torch.zeros((height, width, 3), dtype=torch.uint8)
        frame = VideoFrame(black, 0, _TIME_BASE, device=str(self._device))
        try:
            self._warm_up_with(frame)
        except Exception as error:
            if not self.models.choice.compiled:
                raise
            raise compile_error(error) from error
        self.clear()

    @torch.inference_mode()
    def _warm_up_with(self, frame: VideoFrame) -> None:
        newest = self._see(frame)
        if self._params.use_denoising_batch:
            _, latent = self._batch.step(frame, newest, self._conditions)
        else:
            latent = step_by_step(self._denoiser, newest, self._conditions)
        self._show(frame, latent)


def _vae_blocks(vae: object) -> tuple[int, ...]:
    """One for each halving of the picture, and one more."""
    config = vae.config  # type: ignore[attr-defined]  # diffusers' classes are not typed
    found = getattr(config, "block_out_channels", None) or config.encoder_block_out_channels
    return tuple(found)


def _in_order(wanted: list[ControlNet] | None, loaded: tuple[str, ...]) -> tuple[ControlNet, ...]:
    """The ControlNets of the parameters in the order in which they were loaded."""
    by_name = {one.model_id: one for one in wanted or ()}
    return tuple(by_name[name] for name in loaded)
