"""WHIP and WHEP with aiortc as the outside peer: what is published comes out, for several viewers at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.live import wait_streams

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session

pytest.importorskip("aiortc", reason="WebRTC is optional")
from tests._support.webrtc import ClipTrack, publisher, until, viewer

pytestmark = pytest.mark.media


@pytest.mark.parametrize("codec", ["", "video/VP8"])
async def test_published_frames_come_out_for_two_viewers(tmp_path: Path, codec: str) -> None:
    track = ClipTrack(tmp_path / "clip.mp4")
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        path = "/whip/noop?stream=cam"
        async with publisher(run, http, path, track, codec):
            await wait_streams(run, http, 1)
            async with viewer(run, http, "cam") as first, viewer(run, http, "cam") as second:
                await until(lambda: min(len(first.counters), len(second.counters)) >= 60)
                _, status = await run.call(http, "GET", "/streams/cam")
    for watched in (first, second):
        assert watched.frames[0][1].shape == (512, 512, 3)
        assert watched.counters[0] < 2 * 30
        steps = [(b - a) % 60 for a, b in zip(watched.counters, watched.counters[1:], strict=False)]
        assert sum(step == 1 for step in steps) > 0.8 * len(steps), steps
    assert status["sink"]["watchers"] == 2
    assert status["source"]["kind"] == "webrtc"
    assert abs(status["sink"]["frames"] - status["frames"]["out"]) <= 5
