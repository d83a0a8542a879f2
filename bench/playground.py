"""Glass to glass in the playground page: from the moment a frame is taken to its result on the canvas, over both ways.

A real headless Chromium shows the built-in clip through `noop`, over WebSocket + JPEG and over WebRTC where aiortc is
installed. The page knows which frame it shows: its time comes back with a JPEG; over WebRTC it is painted beside the
picture on the way out, and the RTP timestamp tells it on the way back (`requestVideoFrameCallback`). Prints median, p95
and p99, frames per second, CPU time of runner, worker and browser, what was dropped, and whether the latency grew from
the first third of the run to the last.

In the same run, before: taking, encoding, decoding and drawing in the page alone, without a runner: the limit.
What a screen adds (up to one refresh) is in no figure.

    python bench/playground.py [--seconds 20] [--size 512] [--pipeline noop] [--way jpeg|webrtc|both]

`--seconds 300` is the run that shows whether anything grows.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests._support.browser import Page, chromium
from tests._support.browser_playground import LIVE

from ai_runner_base.testing.live import runner
from ai_runner_base.webrtc import is_installed

AIMS_P50_MS = {"jpeg": 30, "webrtc": 80}
WARM_UP_S = 3.0

RECORD = """(() => {
  window.taken = [];
  const drawn = playground.view.onDrawn;
  playground.view.onDrawn = (picture) => {
    if (picture.timeUs !== null && !picture.isGuess) window.taken.push(performance.now() - picture.timeUs / 1000);
    drawn(picture);
  };
})()"""

ALONE = """(async () => {
  const [{Grabber}, {ClipSource}] = await Promise.all([
    import("/playground/grabber.js"), import("/playground/sources.js")]);
  const grabber = new Grabber(SIZE, SIZE);
  const source = new ClipSource();
  const canvas = new OffscreenCanvas(SIZE, SIZE).getContext("2d", {alpha: false});
  const took = [];
  for (let i = 0; i < 90; i += 1) {
    await new Promise((next) => setTimeout(next, 33));
    const began = performance.now();
    const {bitmap, jpeg} = await grabber.grab(source);
    const back = await createImageBitmap(new Blob([jpeg], {type: "image/jpeg"}));
    canvas.drawImage(back, 0, 0);
    took.push(performance.now() - began);
    bitmap.close();
    back.close();
  }
  grabber.close();
  return took;
})()"""


class Cpu:
    """CPU seconds of a process and its children since it was made."""

    def __init__(self, pid: int, wanted: str = "") -> None:
        self._process, self._wanted = psutil.Process(pid), wanted
        self._before = self._total()

    def _total(self) -> float:
        total = 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                if self._wanted in " ".join(process.cmdline()):
                    times = process.cpu_times()
                    total += times.user + times.system
            except psutil.Error:
                continue  # ended meanwhile
        return total

    def percent(self, seconds: float) -> float:
        """Return the mean load in percent of one core."""
        return 100 * (self._total() - self._before) / seconds


def _quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def _figures(name: str, values: list[float]) -> str:
    p50, p95, p99 = (_quantile(values, q) for q in (0.5, 0.95, 0.99))
    return f"{name:<28} p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms"


async def _measure(page: Page, server_pid: int, browser_pid: int, seconds: float) -> dict[str, Any]:
    await page.evaluate(RECORD)
    runner_cpu, worker_cpu = Cpu(server_pid, " serve "), Cpu(server_pid, "ai_runner_base.worker")
    browser_cpu = Cpu(browser_pid)
    await asyncio.sleep(seconds)
    return {
        "latencies": await page.evaluate("window.taken"),
        "cpu": [cpu.percent(seconds) for cpu in (runner_cpu, worker_cpu, browser_cpu)],
        "drops": await page.evaluate(
            "[...document.querySelectorAll('.drops li')].map((li) => li.textContent).join(', ')"
        ),
        "stages": await page.evaluate("document.querySelector('.legend').innerText"),
    }


def _report(way: str, found: dict[str, Any], seconds: float) -> None:
    values: list[float] = found["latencies"]
    third = len(values) // 3
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    print(_figures(f"through the runner, {way}", values) + f"   aim p50 < {AIMS_P50_MS[way]}")
    print(f"  first third {first:.1f} ms, last third {last:.1f} ms")
    print(f"  {len(values) / seconds:.1f} fps drawn; drops: {found['drops']}")
    print("  CPU in % of a core: runner {:.0f}, worker {:.0f}, browser {:.0f}".format(*found["cpu"]))
    print("  stages, ms: " + found["stages"].replace("\n", " "))


async def _run(way: str, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with runner("--pipeline", given.pipeline) as server, chromium(Path(folder)) as browser:
            browser.preload = f"if (location.protocol === 'http:') localStorage.setItem('way', '{way}')"
            page = await browser.open(server.url + "/playground/icon.svg")
            alone = await page.evaluate(ALONE.replace("SIZE", str(given.size)))
            print(_figures("page alone, JPEG (a limit)", alone))
            await page.call("Page.navigate", url=f"{server.url}/#width={given.size}&height={given.size}")
            await page.wait_for("document.readyState === 'complete' && window.playground !== undefined")
            await page.wait_for(f"{LIVE} && playground.lane.way === '{way}'", 30)
            await asyncio.sleep(WARM_UP_S)
            found = await _measure(page, server.pid, browser.process.pid, given.seconds)
            _report(way, found, given.seconds)


def main() -> None:
    """Measure each way once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pipeline", default="noop")
    parser.add_argument("--way", choices=("jpeg", "webrtc", "both"), default="both")
    given = parser.parse_args()
    for way in ("jpeg", "webrtc") if given.way == "both" else (given.way,):
        if way == "webrtc" and not is_installed():
            print("WebRTC is left out: aiortc is not installed")
        else:
            asyncio.run(_run(way, given))


if __name__ == "__main__":
    main()
