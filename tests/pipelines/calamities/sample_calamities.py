"""Echoes, until a parameter says what shall go wrong: once for each change of `strike`, or for ever (``poison``).

Its address space is limited, so that a pipeline which leaks meets its end without the machine's.
"""

import faulthandler
import resource
import time
from pathlib import Path
from typing import Literal

from ai_runner_base import BaseParams, FramePipeline

ROOM_BYTES = 256 << 20


class CalamitiesParams(BaseParams):
    act: Literal["", "raise", "hang", "segfault", "leak", "poison"] = ""
    strike: int = 0
    gain: int = 0


class Sample(FramePipeline):
    Params = CalamitiesParams

    def setup(self, params):
        self.struck, self.leaked = params.strike, []
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, resource.RLIM_INFINITY))

    def transform(self, frame, params):
        if params.act == "poison":
            time.sleep(0.1)  # the runner hears that the parameters hold, before they kill
            faulthandler._sigsegv()
        if params.strike != self.struck:
            self.struck = params.strike
            self.strike(params.act)
        if self.leaked:
            bytearray(16 << 20)  # what a frame needs, and does not get any more
        return frame

    def strike(self, act):
        if act == "raise":
            raise ValueError("this frame is not to my taste")
        if act == "hang":
            time.sleep(3600)
        if act == "segfault":
            faulthandler._sigsegv()
        while act == "leak":
            self.leaked.append(bytearray(8 << 20))
