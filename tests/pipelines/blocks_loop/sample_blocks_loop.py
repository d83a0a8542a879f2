"""A full pipeline that blocks its event loop with every frame whose first value is 1."""

import asyncio
import time

from ai_runner_base import Pipeline, VideoOutput


class Sample(Pipeline):
    async def initialize(self, **params):
        self.queue = asyncio.Queue()

    async def put_video_frame(self, frame, request_id):
        if frame.array[0, 0, 0] == 1:
            time.sleep(3600)  # noqa: ASYNC251 - the misbehaviour itself
        await self.queue.put(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        return None
