"""Five frames a second and no more, whatever the host."""

from __future__ import annotations

import time
from typing import Any

from ai_runner_base import FramePipeline, VideoFrame


class Sample(FramePipeline):
    def transform(self, frame: VideoFrame, params: Any) -> Any:
        time.sleep(0.2)
        return frame
