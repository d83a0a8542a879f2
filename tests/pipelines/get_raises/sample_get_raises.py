"""Its getter raises at once, for ever, without ever waiting."""

from ai_runner_base import Pipeline


class Sample(Pipeline):
    async def initialize(self, **params):
        return None

    async def put_video_frame(self, frame, request_id):
        return None

    async def get_processed_video_frame(self):
        raise RuntimeError("nothing to get")

    async def update_params(self, **params):
        return None
