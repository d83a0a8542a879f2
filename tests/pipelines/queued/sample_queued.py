"""A full pipeline with a queue of its own: `copies` outputs for each input, every `skip`-th input without any."""

import asyncio

from pydantic import Field

from ai_runner_base import BaseParams, Pipeline, VideoOutput


class QueuedParams(BaseParams):
    copies: int = Field(1, ge=1, le=8)
    skip: int = Field(0, ge=0)


class Sample(Pipeline):
    Params = QueuedParams

    async def initialize(self, **params):
        self.queue = asyncio.Queue()
        self.params = QueuedParams(**params)
        self.seen = 0

    async def put_video_frame(self, frame, request_id):
        self.seen += 1
        if self.params.skip and self.seen % self.params.skip == 0:
            return
        for _ in range(self.params.copies):
            await self.queue.put(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        self.params = QueuedParams(**params)
