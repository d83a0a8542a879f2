"""An ``async def transform``: inverts on the event loop."""

import asyncio

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    async def transform(self, frame, params):
        await asyncio.sleep(0)
        return 255 - frame.array
