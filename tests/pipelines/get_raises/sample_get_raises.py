"""Its getter raises at once, for ever, without ever waiting; first as if something had been cancelled."""

import asyncio

from ai_runner_base import Pipeline


class Sample(Pipeline):
    async def initialize(self, **params):
        self.calls = 0

    async def put_video_frame(self, frame, request_id):
        return None

    async def get_processed_video_frame(self):
        self.calls += 1
        raise asyncio.CancelledError("within") if self.calls == 1 else RuntimeError("nothing to get")

    async def update_params(self, **params):
        return None
