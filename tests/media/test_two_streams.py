"""Two streams at once, each on a worker of its own: neither gets anything of the other's, a third is refused."""

from __future__ import annotations

import asyncio

import pytest
from tests._support.live import SIZE, clip, start, wait_streams, wait_workers

from ai_runner_base.media import read_counter
from ai_runner_base.testing.live import Viewer, rgb, runner, send
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media


async def test_two_streams_on_two_workers_and_no_third_before_one_has_ended() -> None:
    frames = {"a": clip()[:60], "b": clip()[60:]}
    viewers = {name: Viewer() for name in frames}
    async with client_session() as http, runner("--pipeline", "noop", "--workers", "noop=2") as run:
        await wait_workers(run, http, 2)
        for name in frames:
            await start(run, http, name)
        body = {"subscribe_url": f"{run.url}/ai/trickle/c", "publish_url": f"{run.url}/ai/trickle/c-out"}
        status, answer = await run.call(http, "POST", "/live-video-to-video", {**body, "params": SIZE})
        assert (status, answer["detail"]["msg"].partition(":")[0]) == (500, "insufficient capacity")
        watching = [viewer.watch(http, f"{run.url}/ai/trickle/{n}-out") for n, viewer in viewers.items()]
        sending = [send(http, f"{run.url}/ai/trickle/{n}", mine) for n, mine in frames.items()]
        async with asyncio.timeout(30):
            await asyncio.gather(*watching, *sending)
        await wait_streams(run, http, 0)
        await start(run, http, "c")
    for name, first in (("a", 0), ("b", 60)):
        numbers = {frame.pts: first + n for n, frame in enumerate(frames[name])}
        shown = [round(p.pts * p.time_base * 90_000) for p in viewers[name].pictures]
        assert len(shown) >= 10, "how many there can be is a matter of the machine; see bench/two_streams.py"
        assert [read_counter(rgb(p)) for p in viewers[name].pictures] == [numbers[pts] for pts in shown]
