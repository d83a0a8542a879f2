"""A runner with tiny pipelines and a browser that has its page open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from ai_runner_base.testing.live import RunnerProcess, runner
from tests._support.browser import Browser, Page, chromium, find_chromium
from tests._support.prefixes import SamplePipeline, make_prefix

FOLDER = Path(__file__).parents[1] / "browser" / "pipelines" / "invert"
INVERT = SamplePipeline("invert", "sample_invert:Invert", FOLDER)
SWAP = SamplePipeline("swap", "sample_invert:Swap", FOLDER)

LIVE = "document.querySelector('#status').dataset.tone === 'live' && document.querySelector('#veil').hidden"

COMPARE = """(() => {
  const pixels = (name) => {
    const small = new OffscreenCanvas(64, 64).getContext("2d", {willReadFrequently: true});
    small.drawImage(document.querySelector(`#stage canvas.${name}`), 0, 0, 64, 64);
    return small.getImageData(0, 0, 64, 64).data;
  };
  const [before, after] = [pixels("before"), pixels("after")];
  const sums = {same: 0, inverted: 0, swapped: 0, spread: 0};
  for (let i = 0; i < before.length; i += 4) {
    for (let c = 0; c < 3; c += 1) {
      sums.same += Math.abs(before[i + c] - after[i + c]);
      sums.inverted += Math.abs(255 - before[i + c] - after[i + c]);
      sums.swapped += Math.abs(before[i + 2 - c] - after[i + c]);
      sums.spread += Math.abs(before[i + c] - before[c]);
    }
  }
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / (before.length * 0.75)]));
})()"""
"""Mean differences, in levels of 256, between the picture before and what the page shows after."""


@dataclass
class Playground:
    """Both ends, and a client for the runner's own API."""

    server: RunnerProcess
    browser: Browser
    http: aiohttp.ClientSession

    async def open(self, path: str = "/", **size: int) -> Page:
        """Open the page and wait until it shows a result."""
        page = await self.browser.open(self.server.url + path, **size)
        await page.wait_for(LIVE, 30)
        return page

    async def streams(self) -> list[dict[str, Any]]:
        """Return what the runner says of its streams."""
        return list((await self.server.call(self.http, "GET", "/streams"))[1]["streams"])

    def workers(self) -> list[psutil.Process]:
        """Return the runner's worker processes."""
        children = psutil.Process(self.server.pid).children(recursive=True)
        return [child for child in children if "ai_runner_base.worker" in " ".join(child.cmdline())]

    async def seconds_until_free(self, limit_s: float) -> float:
        """Wait until no stream is left.

        :raises TimeoutError: one still was after `limit_s`
        """
        begin_s = time.monotonic()
        async with asyncio.timeout(limit_s):
            while await self.streams():
                await asyncio.sleep(0.05)
        return time.monotonic() - begin_s


async def difference(page: Page, kind: str, below: float, limit_s: float = 10.0) -> dict[str, float]:
    """Wait until before and after differ by no more than `below` levels, compared as `kind`; see `COMPARE`."""
    await page.wait_for(f"({COMPARE}).{kind} < {below}", limit_s)
    return dict(await page.evaluate(COMPARE))


async def keep_picture(page: Page, tmp_path: Path, name: str) -> None:
    """Keep a picture of a page in the folder named by ``AI_RUNNER_PICTURES``, else in the test's own."""
    folder = Path(os.environ.get("AI_RUNNER_PICTURES", tmp_path))
    data = await page.screenshot()

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(data)

    await asyncio.to_thread(write)


@contextlib.asynccontextmanager
async def playground(
    tmp_path: Path,
    *arguments: str,
    pipelines: tuple[SamplePipeline, ...] = (INVERT, SWAP),
    flags: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    way: str = "jpeg",
) -> AsyncIterator[Playground]:
    """Start a runner that serves `pipelines`, and a browser.

    :param arguments: more for the runner's command line
    :param flags: more for the browser's
    :param way: how the pages' pictures shall travel, where there is a choice: ``jpeg`` or ``webrtc``
    """
    if find_chromium() is None:
        pytest.skip("no Chromium here and it cannot be installed: apt-get install chromium")
    prefix = make_prefix(tmp_path, pipelines)
    profile = tmp_path / "profile"
    profile.mkdir()
    served = [word for pipeline in pipelines for word in ("--pipeline", pipeline.name)]
    async with (
        runner(*served, *arguments, prefix=prefix, env=env) as server,
        chromium(profile, *flags) as browser,
        aiohttp.ClientSession() as http,
    ):
        browser.preload = f"if (location.protocol === 'http:') localStorage.setItem('way', '{way}')"
        yield Playground(server, browser, http)
