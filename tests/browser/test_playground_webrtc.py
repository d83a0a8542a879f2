"""The playground over WebRTC in a real browser: it is what the page uses by itself, and it may fail at any time."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.browser import FAKE_CAMERA, Page
from tests._support.browser_playground import LIVE, Playground, difference, keep_picture, playground

pytest.importorskip("aiortc", reason="WebRTC is optional")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CODING_ERROR = 20.0
"""Two video codings with halved colours, in levels of 256; a picture that is not inverted differs by far more."""
BY_WEBRTC = f"{LIVE} && playground.lane.way === 'webrtc'"
PEERS = """;(() => {
  window.peers = [];
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...given) { super(...given); window.peers.push(this); }
  };
})()"""
HEARD = """(async () => [...(await peers.at(-1).getStats()).values()]
  .find((s) => s.type === 'inbound-rtp' && s.kind === 'audio')?.totalAudioEnergy ?? 0)()"""


async def _open(at: Playground, path: str = "/") -> Page:
    at.browser.preload += PEERS
    page = await at.browser.open(at.server.url + path)
    await page.wait_for(BY_WEBRTC, 30)
    return page


async def test_page_uses_webrtc_by_itself_and_parameters_and_pipelines_change(tmp_path: Path) -> None:
    async with playground(tmp_path, way="webrtc") as at:
        page = await _open(at)
        found = await difference(page, "inverted", CODING_ERROR)
        assert found["spread"] > 20, "the clip is one flat colour"
        await page.wait_for("playground.lane.latencyMs.values.length > 60", 20)
        p50_ms, p95_ms = await page.evaluate(
            "[0.5, 0.95].map((q) => Math.round(playground.lane.latencyMs.quantile(q)))"
        )
        print(f"taken to drawn over WebRTC: p50 {p50_ms} ms, p95 {p95_ms} ms")
        await page.evaluate("playground.form.setValues({strength: 0})")
        await page.wait_for(
            "/In effect after .*, from frame/.test(document.querySelector('#effect').textContent)"
        )
        await difference(page, "same", CODING_ERROR)
        await keep_picture(page, tmp_path, "playground-webrtc")
        (stream,) = await at.streams()
        assert (stream["sink"]["way"], stream["sink"]["watchers"]) == ("webrtc", 1)
        await page.evaluate("playground.lanes.switchTo('swap')")
        await page.wait_for(f"playground.lane?.pipeline === 'swap' && {BY_WEBRTC}", 20)
        await difference(page, "swapped", CODING_ERROR)
        assert page.complaints == []
        assert page.foreign_requests(at.server.url) == []


async def test_connection_that_is_lost_or_never_comes_is_replaced_by_jpeg(tmp_path: Path) -> None:
    async with playground(tmp_path, way="webrtc") as at:
        page = await _open(at)
        await page.evaluate("peers.at(-1).close()")
        await page.wait_for(f"playground.lane.way === 'jpeg' && {LIVE}")
        why = await page.evaluate("document.querySelector('#way .why').textContent")
        assert why == "Pictures stopped coming"
        assert await page.evaluate("document.querySelector('#sound').disabled") is True
        await difference(page, "inverted", CODING_ERROR)
        (stream,) = await at.streams()
        assert stream["sink"]["way"] == "jpeg"
        await page.evaluate("document.querySelector('input[name=way][value=webrtc]').click()")
        await page.wait_for(BY_WEBRTC)
        await page.evaluate("document.querySelector('input[name=way][value=jpeg]').click()")
        await page.wait_for(f"playground.lane.way === 'jpeg' && {LIVE}")
        await page.evaluate("RTCPeerConnection.prototype.setRemoteDescription = async () => {}")
        await page.evaluate("document.querySelector('input[name=way][value=webrtc]').click()")
        await difference(page, "inverted", CODING_ERROR)
        await page.wait_for("document.querySelector('#way .why').textContent === 'No connection within 8 s'")
        await difference(page, "inverted", CODING_ERROR)


async def test_two_viewers_see_one_stream_from_one_encoder(tmp_path: Path) -> None:
    async with playground(tmp_path, way="webrtc") as at:
        page = await _open(at)
        stream = await page.evaluate("playground.lane.streamId")
        viewers = [await _open(at, f"/?watch={stream}") for _ in range(2)]
        for viewer in viewers:
            await _assert_sees_what(viewer, page)
            assert viewer.complaints == []
        await keep_picture(viewers[0], tmp_path, "playground-watch")
        (told,) = await at.streams()
        assert told["sink"]["watchers"] == 3, "the page and two viewers, one encoder"
        await page.close()
        for viewer in viewers:
            await viewer.wait_for("document.querySelector('#veil').dataset.action === 'choose'")


async def _assert_sees_what(viewer: Page, page: Page) -> None:
    """Compare mean colours: the two see different moments."""
    mean = """(() => {
      const small = new OffscreenCanvas(64, 64).getContext('2d', {willReadFrequently: true});
      small.drawImage(document.querySelector('canvas.after'), 0, 0, 64, 64);
      const sums = [0, 0, 0];
      small.getImageData(0, 0, 64, 64).data.forEach((level, i) => i % 4 < 3 && (sums[i % 4] += level));
      return sums.map((sum) => sum / 4096);
    })()"""
    theirs, ours = await viewer.evaluate(mean), await page.evaluate(mean)
    assert max(abs(a - b) for a, b in zip(theirs, ours, strict=True)) < CODING_ERROR, (theirs, ours)


async def test_sound_comes_back_only_when_it_is_wanted(tmp_path: Path) -> None:
    async with playground(tmp_path, way="webrtc", flags=FAKE_CAMERA) as at:
        page = await _open(at)
        assert await page.evaluate("document.querySelector('#sound').disabled") is True, "the clip is silent"
        await page.evaluate("document.querySelector('input[name=source][value=camera]').click()")
        await page.wait_for(
            "playground.source.kind === 'camera' && !document.querySelector('#sound').disabled"
        )
        assert await page.evaluate(HEARD) == 0
        await page.evaluate("document.querySelector('#sound').click()")
        await page.wait_for(f"(async () => (await {HEARD}) > 0.001)()")
        assert await page.evaluate("document.querySelector('#sound').ariaPressed") == "true"
        await page.evaluate("document.querySelector('#sound').click()")
        await page.wait_for("playground.source.microphone.readyState === 'ended'")
