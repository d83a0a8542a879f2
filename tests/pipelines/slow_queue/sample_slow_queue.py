"""Takes every frame at once into a queue without limit, and works through it at 50 frames a second."""

import asyncio

from ai_runner_base import Pipeline, VideoOutput


class Sample(Pipeline):
    async def initialize(self, **params):
        self.queue = asyncio.Queue()

    async def put_video_frame(self, frame, request_id):
        self.queue.put_nowait(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self):
        output = await self.queue.get()
        await asyncio.sleep(0.02)
        return output

    async def update_params(self, **params):
        return None
