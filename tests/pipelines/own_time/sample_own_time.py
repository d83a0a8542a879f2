"""Invents its own time: its outputs cannot be told to belong to an input."""

import asyncio
from fractions import Fraction

from ai_runner_base import Pipeline, VideoFrame, VideoOutput


class Sample(Pipeline):
    async def initialize(self, **params):
        self.queue = asyncio.Queue()
        self.count = 0

    async def put_video_frame(self, frame, request_id):
        self.count += 1
        made = VideoFrame(frame.array, self.count, Fraction(1, 7))
        await self.queue.put(VideoOutput(made, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        return None
