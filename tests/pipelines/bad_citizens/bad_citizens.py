"""Each class breaks one rule of `ai-runner check`, named in its first line, and no other."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, Field

from ai_runner_base import BaseParams, FramePipeline, Pipeline, VideoFrame, VideoOutput
from ai_runner_base.pipeline import hints


class Citizen(FramePipeline):
    """Breaks none."""

    def transform(self, frame, params):
        return frame


class VagueParams(BaseParams):
    Strength: float = 3.0


class Vague(Citizen):
    """schema: no description, no range, a name in capitals."""

    Params = VagueParams


class MoodyParams(BaseParams):
    seed: int = Field(os.getpid(), ge=0, le=2**31, description="Another one in each process")


class Moody(Citizen):
    """handshake."""

    Params = MoodyParams


class NeedsNetwork(Citizen):
    """prepare: asks a server even when all is there. The first time, it is the test's own."""

    @classmethod
    def prepare_models(cls):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler())
        opener.open(os.environ["BAD_CITIZENS_SERVER"], timeout=5).close()


class Loiters(Citizen):
    """load: needs longer than the limit that the test sets."""

    def setup(self, params):
        time.sleep(5)


class Shrinks(Citizen):
    """frames: gives another size than it promises."""

    def transform(self, frame, params):
        return frame.array[::2, ::2]


class OwnTime(Pipeline):
    """frames: invents its own time."""

    async def initialize(self, **params):
        self.queue = asyncio.Queue(maxsize=1)

    async def put_video_frame(self, frame, request_id):
        later = VideoFrame(frame.array, frame.pts + 3600 * 90_000, frame.time_base)
        await self.queue.put(VideoOutput(later, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        return None


class FearsTheDark(Citizen):
    """pictures: divides by the brightness of integers."""

    def transform(self, frame, params):
        return (frame.array // (1000 // int(frame.array.max()))).astype(np.uint8)


class DividesByContrast(Citizen):
    """finite: 0 / 0 where there is no contrast."""

    def transform(self, frame, params):
        picture = frame.array.astype(np.float32)
        with np.errstate(invalid="ignore"):
            return (picture - picture.min()) / (picture.max() - picture.min())


class FixedSize(Citizen):
    """sizes: works at one size only, and does not say so in its parameters."""

    def transform(self, frame, params):
        if params.width != 512:
            raise ValueError("the engine was built for 512x512")
        return frame


class Brittle(Citizen):
    """strange-frames: a native library would crash like this."""

    def transform(self, frame, params):
        if frame.width % 8:
            os._exit(139)
        return frame


class SharpParams(BaseParams):
    radius: float = Field(2.0, ge=0, le=4, description="Radius of the brush")


class Sharp(Citizen):
    """values: its lowest value divides by zero."""

    Params = SharpParams

    def transform(self, frame, params):
        return (frame.array * min(1.0, 1 / params.radius)).astype(np.uint8)


class LaxParams(BaseParams):
    model_config = ConfigDict(allow_inf_nan=True)
    amount: float = Field(1.0, description="Takes anything", json_schema_extra={"minimum": 0, "maximum": 1})


class Lax(Citizen):
    """not-numbers."""

    Params = LaxParams


class LevelParams(BaseParams):
    level: int = Field(0, ge=0, le=200, description="Brightness of the whole picture")


class Late(Pipeline):
    """change: takes new parameters over one frame later than it says."""

    Params = LevelParams

    async def initialize(self, **params):
        self.queue = asyncio.Queue(maxsize=1)
        self.level = self.next_level = params["level"]
        self.frames_to_go = 0

    async def put_video_frame(self, frame, request_id):
        self.frames_to_go -= 1
        if self.frames_to_go <= 0:
            self.level = self.next_level
        result = frame.replace(np.full_like(frame.array, self.level))
        await self.queue.put(VideoOutput(result, request_id))

    async def get_processed_video_frame(self):
        return await self.queue.get()

    async def update_params(self, **params):
        self.next_level, self.frames_to_go = params["level"], 2


class Dawdles(Pipeline):
    """live: keeps pace, a second and a half behind."""

    async def initialize(self, **params):
        self.queue = asyncio.Queue()

    async def put_video_frame(self, frame, request_id):
        output = VideoOutput(frame.replace(frame.array.copy()), request_id)
        self.queue.put_nowait((time.monotonic() + 1.5, output))

    async def get_processed_video_frame(self):
        due_s, output = await self.queue.get()
        await asyncio.sleep(due_s - time.monotonic())
        return output

    async def update_params(self, **params):
        return None


class Chatty(Citizen):
    """output: a line for each frame."""

    def transform(self, frame, params):
        print("frame at", frame.time_s)
        return frame


class Hoards(Citizen):
    """memory."""

    def setup(self, params):
        self.kept = []

    def transform(self, frame, params):
        self.kept.append(frame.array.copy())
        return frame


class OpensFiles(Citizen):
    """memory, of another kind: open files."""

    def setup(self, params):
        self.files = []

    def transform(self, frame, params):
        self.files.append(os.open(os.devnull, os.O_RDONLY))
        return frame


class Selfish(Citizen):
    """two-instances: one lock for all."""

    def setup(self, params):
        self.lock = Path(tempfile.gettempdir(), f"selfish-{os.environ['BAD_CITIZENS_RUN']}").open("w")  # noqa: SIM115 - held for good
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


class TidiesUpOnly(Citizen):
    """restart: a file of its own that only an orderly end removes."""

    def setup(self, params):
        folder = Path(tempfile.gettempdir(), f"tidies-{os.environ['BAD_CITIZENS_RUN']}")
        folder.mkdir(exist_ok=True)
        self.marks = [folder / "one", folder / "two"]
        free = [mark for mark in self.marks if not mark.exists()]
        self.mark = free[0]
        self.mark.touch()

    def teardown(self):
        self.mark.unlink()


class Lingers(Citizen):
    """stop: never ends by itself."""

    def teardown(self):
        time.sleep(3600)


class LeavesChild(Citizen):
    """stop, of another kind: a process that outlives it."""

    def setup(self, params):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


class Unstoppable(Citizen):
    """cancel: shrugs off SIGTERM while it loads, but for nothing."""

    def __init__(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def setup(self, params):
        time.sleep(3)


class SwapsParams(BaseParams):
    model: str = Field("small", description="Which weights", json_schema_extra=hints(live=False))
    mirror: bool = Field(False, description="Swap left and right")
    count: int | None = Field(None, ge=1, le=3, description="Of something, or nothing")
    brush: str = Field("oil", min_length=1, description="What to paint with")


class Versatile(Citizen):
    """Breaks none, and has parameters of many kinds."""

    Params = SwapsParams

    def transform(self, frame, params):
        return frame.array[:, ::-1] if params.mirror else frame
