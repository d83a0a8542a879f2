"""Answers each frame twice: for somebody else's stream, then for the right one."""

import asyncio

import numpy as np

from ai_runner_base import Pipeline, VideoOutput


class Sample(Pipeline):
    async def initialize(self, **params):
        self.queue = asyncio.Queue()

    async def put_video_frame(self, frame, request_id):
        await self.queue.put(VideoOutput(frame.replace(np.zeros_like(frame.array)), "somebody else"))
        await self.queue.put(VideoOutput(frame, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        return None
