"""Pipelines as people wrote them for livepeer/ai-runner: only its names, its calls and its tensors."""

import asyncio
import time

import torch
from habits_params import GainParams

from runner.live.pipelines import Pipeline, PipelineSpec
from runner.live.trickle import VideoFrame, VideoOutput


class Queued(Pipeline):
    """What most of them have in common: a queue of their own."""

    def __init__(self):
        self.queue = asyncio.Queue()

    async def initialize(self, **params):
        self.params = params

    async def put_video_frame(self, frame, request_id):
        await self.queue.put(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        self.params = params

    @classmethod
    def prepare_models(cls):
        print("nothing to prepare")


class NoopPipeline(Queued):
    async def get_processed_video_frame(self):
        out = await self.queue.get()
        return out.replace_tensor(out.tensor.clone())


class Threaded(Queued):
    """Inverts in a thread, slowly, as StreamDiffusion does."""

    async def put_video_frame(self, frame, request_id):
        out = await asyncio.to_thread(self.invert, frame.tensor)
        await self.queue.put(VideoOutput(frame, request_id).replace_tensor(out))

    def invert(self, tensor):
        assert (tensor.shape[0], tensor.dtype) == (1, torch.float32), f"{tensor.shape} {tensor.dtype}"
        time.sleep(0.02)
        return 1 - tensor


class Several(Queued):
    """Three outputs for each input, at times of their own, as scope does."""

    async def put_video_frame(self, frame, request_id):
        for i in range(3):
            invented = VideoFrame(frame.tensor * (i / 2), frame.timestamp + 1000 * i, frame.time_base)
            await self.queue.put(VideoOutput(invented, request_id))


class Reloading(Queued):
    """Another model takes a while; a bad one fails."""

    async def initialize(self, **params):
        self.gain = 1.0

    async def update_params(self, **params):
        if params.get("model", "one") == "one":
            return None
        return asyncio.create_task(self.reload(params["model"]))

    async def reload(self, model):
        await asyncio.sleep(0.3)
        if model == "bad":
            raise OSError("the model is damaged")
        self.gain = 0.5

    async def put_video_frame(self, frame, request_id):
        output = VideoOutput(frame, request_id)
        await self.queue.put(output.replace_tensor(frame.tensor * self.gain))


class Slow(Queued):
    """Takes whatever comes into its queue, which has no limit, and works through it at 50 frames a second."""

    async def get_processed_video_frame(self):
        out = await self.queue.get()
        await asyncio.sleep(0.02)
        return out


class WrongId(Queued):
    async def put_video_frame(self, frame, request_id):
        await self.queue.put(VideoOutput(frame.replace_tensor(frame.tensor * 0), "of another stream"))
        await self.queue.put(VideoOutput(frame, request_id))


class Dtypes(Queued):
    """Bright pictures come back as integers, which is wrong; dark ones as float16 without a batch dimension."""

    async def put_video_frame(self, frame, request_id):
        tensor = frame.tensor
        bright = float(tensor.mean()) > 0.5
        out = (tensor * 255).to(torch.int64) if bright else tensor[0].to(torch.float16)
        await self.queue.put(VideoOutput(frame.replace_tensor(out), request_id))


class Raises(Queued):
    """Bright pictures raise while they are put, black ones while they are given back."""

    async def put_video_frame(self, frame, request_id):
        if float(frame.tensor.mean()) > 0.5:
            raise RuntimeError("too bright")
        await super().put_video_frame(frame, request_id)

    async def get_processed_video_frame(self):
        out = await super().get_processed_video_frame()
        if float(out.tensor.mean()) == 0:
            raise RuntimeError("too dark")
        return out


class Notes(Queued):
    """The notes on frames that upstream's ComfyUI pipeline makes: every second frame is left out."""

    async def initialize(self, **params):
        self.seen = 0
        warm_up = VideoFrame(None, 0, 0)
        warm_up.side_data.input = "noise"

    async def put_video_frame(self, frame, request_id):
        frame.side_data.input = frame.tensor
        frame.side_data.skipped = self.seen % 2 == 1
        frame.log_timestamps["put"] = time.time()
        self.seen += 1
        await self.queue.put(VideoOutput(frame.replace_tensor(frame.tensor * 0), request_id))

    async def get_processed_video_frame(self):
        out = await self.queue.get()
        while out.frame.side_data.skipped:
            out = await self.queue.get()
        assert list(out.log_timestamps) == ["put"]
        return out.replace_tensor(out.frame.side_data.input)


class InPlace(Queued):
    """Draws into the tensor that it was given."""

    async def put_video_frame(self, frame, request_id):
        frame.tensor.mul_(0.5)
        await self.queue.put(VideoOutput(frame, request_id))


class Gain(Queued):
    """Parameters with a class of their own."""

    async def initialize(self, **params):
        self.params = GainParams(**params)

    async def update_params(self, **params):
        self.params = GainParams(**params)

    async def put_video_frame(self, frame, request_id):
        await self.queue.put(VideoOutput(frame.replace_tensor(frame.tensor * self.params.gain), request_id))


class Free(Queued):
    """No class of parameters: it looks up what it knows."""

    async def put_video_frame(self, frame, request_id):
        gain = self.params.get("gain", 1.0)
        await self.queue.put(VideoOutput(frame.replace_tensor(frame.tensor * gain), request_id))


gain_spec = PipelineSpec(
    name="dimmed",
    pipeline_cls="habits:Gain",
    params_cls="habits_params:GainParams",
    initial_params={"gain": 0.25},
)
