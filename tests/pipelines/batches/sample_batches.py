"""Answers ten frames at once, when it has them."""

import asyncio

from ai_runner_base import Pipeline, VideoOutput


class Sample(Pipeline):
    async def initialize(self, **params):
        self.queue = asyncio.Queue()
        self.batch = []

    async def put_video_frame(self, frame, request_id):
        self.batch.append(VideoOutput(frame, request_id))
        if len(self.batch) == 10:
            for output in self.batch:
                self.queue.put_nowait(output)
            self.batch = []

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        return None
