"""Written before `app` was renamed to `runner`."""

import asyncio

from app.live.pipelines.interface import Pipeline
from app.live.pipelines.trickle import VideoFrame, VideoOutput


class Darker(Pipeline):
    async def initialize(self, **params):
        self.queue: asyncio.Queue[VideoOutput] = asyncio.Queue()

    async def put_video_frame(self, frame: VideoFrame, request_id: str):
        await self.queue.put(VideoOutput(frame, request_id).replace_tensor(frame.tensor * 0.5))

    async def get_processed_video_frame(self) -> VideoOutput:
        return await self.queue.get()

    async def update_params(self, **params):
        pass
