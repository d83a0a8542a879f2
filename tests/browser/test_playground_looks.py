"""How the playground looks: no layout jump, nothing cut off, readable in light and dark; pictures of it are kept.

``docs/images/playground.png`` is one of them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests._support.browser import Page
from tests._support.browser_playground import INVERT, LIVE, keep_picture, playground
from tests._support.prefixes import SamplePipeline

pytest.importorskip("cv2", reason="the effects pipeline needs OpenCV: pip install opencv-python-headless")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

RECIPES = Path(__file__).parents[2] / "recipes"
EFFECTS = SamplePipeline(
    "effects", "ai_runner_effects.pipeline:Effects", RECIPES / "ai-runner-effects" / "src"
)
SLOW = SamplePipeline.named("slow_load")

CONTRAST = """(() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const paint = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = (color) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const color = rgb(getComputedStyle(n).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const hasWords = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  const contrast = (node) => {
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  return [...document.querySelectorAll("header *, .numbers *, .panel *, .controls *")]
    .filter((node) => node.offsetParent && !node.closest(":disabled, .bar") && hasWords(node))
    .map((node) => [contrast(node), node.textContent.trim().slice(0, 30)])
    .sort((x, y) => x[0] - y[0])[0];
})()"""
"""The text that is hardest to read: its contrast ratio (WCAG 2.2) and its words."""


async def _assert_fits(page: Page) -> None:
    too_wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert too_wide <= 0, f"the page is {too_wide} px too wide"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_large_screen(tmp_path: Path, scheme: str) -> None:
    async with playground(tmp_path, pipelines=(EFFECTS, INVERT)) as at:
        page = await at.browser.open(at.server.url, width=1280, height=800)
        await page.use_scheme(scheme)
        await page.wait_for(LIVE, 30)
        await page.wait_for("playground.lane.latencyMs.values.length > 60", 20)
        await keep_picture(page, tmp_path, f"playground-{scheme}")
        await _assert_fits(page)
        assert await page.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0
        ratio, words = await page.evaluate(CONTRAST)
        assert ratio >= 4.5, f"{words!r} has a contrast of {ratio}"


async def test_trouble_is_readable(tmp_path: Path) -> None:
    """Loading, a runner without a free worker, a stream that has ended, and one that is only watched."""
    async with playground(tmp_path, pipelines=(SLOW,)) as at:
        page = await at.browser.open(at.server.url)
        await page.wait_for("document.querySelector('#status .words').textContent.startsWith('Loading')")
        await keep_picture(page, tmp_path, "playground-loading")
        await page.wait_for(LIVE, 30)
        (stream,) = await at.streams()
        viewer = await at.browser.open(f"{at.server.url}/?watch={stream['id']}", width=390, height=844)
        await viewer.use_scheme("dark")
        await viewer.wait_for(LIVE, 20)
        await keep_picture(viewer, tmp_path, "playground-watch-phone")
        await _assert_fits(viewer)
        await page.evaluate("document.querySelector('#watch').click()")
        await page.wait_for("document.querySelectorAll('#streams a').length === 1")
        assert await page.evaluate("document.querySelector('#streams a').href") == await viewer.evaluate(
            "location.href"
        )
        await keep_picture(page, tmp_path, "playground-streams")
        second = await at.browser.open(at.server.url)
        await second.wait_for("document.querySelector('#veil .words').textContent.includes('free one')")
        await keep_picture(second, tmp_path, "playground-full")
        await at.server.call(at.http, "DELETE", f"/streams/{stream['id']}")
        await page.wait_for("document.querySelector('#veil').dataset.action === 'again'")
        await viewer.wait_for("document.querySelector('#veil').dataset.action === 'choose'")
        await keep_picture(page, tmp_path, "playground-ended")
        await keep_picture(viewer, tmp_path, "playground-watch-ended")


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_phone(tmp_path: Path, scheme: str) -> None:
    async with playground(tmp_path, pipelines=(EFFECTS, INVERT)) as at:
        page = await at.browser.open(at.server.url)
        await page.resize(390, 844, scale=2, mobile=True)
        await page.use_scheme(scheme)
        await page.wait_for(LIVE, 30)
        await page.evaluate("document.querySelector('input[name=view][value=split]').click()")
        await page.wait_for("playground.lane.latencyMs.values.length > 30", 20)
        await keep_picture(page, tmp_path, f"playground-phone-{scheme}")
        await _assert_fits(page)
        small = await page.evaluate(
            """[...document.querySelectorAll('.controls button, .controls label')]
              .filter((node) => node.offsetParent && node.offsetHeight < 28).map((node) => node.outerHTML)"""
        )
        assert small == [], "too small for a finger"


async def test_nothing_jumps_while_pictures_and_views_change(tmp_path: Path) -> None:
    async with playground(tmp_path, pipelines=(EFFECTS, INVERT)) as at:
        page = await at.browser.open(at.server.url, width=1440, height=900)
        await page.evaluate(
            """(() => {
              window.boxes = new Set();
              const note = () => {
                const parts = ['#stage', '.controls', '#numbers', '.panel', '#status'];
                boxes.add(JSON.stringify(parts.map((part) => {
                  const {x, y, width, height} = document.querySelector(part).getBoundingClientRect();
                  return [x, y, part === '#status' ? 0 : width, height].map(Math.round);
                })));
                requestAnimationFrame(note);
              };
              note();
            })()"""
        )
        await page.wait_for(LIVE, 30)
        for view in ("split", "after", "side"):
            await page.evaluate(f"document.querySelector('input[name=view][value={view}]').click()")
            await asyncio.sleep(0.3)
        await page.evaluate("playground.lanes.switchTo('invert')")
        await page.wait_for("playground.lane?.pipeline === 'invert'")
        await page.wait_for(LIVE)
        boxes = await page.evaluate("[...boxes]")
        assert len(boxes) == 1, boxes


async def test_split_follows_the_pointer_and_the_keys(tmp_path: Path) -> None:
    async with playground(tmp_path, pipelines=(INVERT,)) as at:
        page = await at.open()
        await page.press("1")
        box = await page.evaluate(
            "(({left, top, width, height}) => [left, top, width, height])(document.querySelector('canvas.after')"
            ".getBoundingClientRect())"
        )
        where = {"x": box[0] + 0.25 * box[2], "y": box[1] + 0.5 * box[3], "button": "left", "clickCount": 1}
        await page.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        await page.call("Input.dispatchMouseEvent", type="mouseReleased", **where)
        now = "document.querySelector('.handle').getAttribute('aria-valuenow')"
        assert await page.evaluate(now) == "25"
        await page.press("ArrowRight", 39)
        assert await page.evaluate(now) == "27"
