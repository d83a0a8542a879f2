"""A real browser as the outside peer: it publishes a canvas by WHIP and plays the result by WHEP."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests._support.browser import chromium, find_chromium
from tests._support.live import wait_streams

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session

pytest.importorskip("aiortc", reason="WebRTC is optional")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here, and it cannot be installed"),
]

FREE_LIMIT_S = 5.0

# One colour, and the frame's number as eight black or white blocks.
PUBLISH = """(async () => {
  const canvas = document.createElement('canvas'), paint = canvas.getContext('2d');
  canvas.width = canvas.height = 512;
  let n = 0;
  window.drawn = {};
  setInterval(() => {
    n = (n + 1) % 256;
    drawn[n] = performance.now();
    paint.fillStyle = 'rgb(200, 60, 30)'; paint.fillRect(0, 0, 512, 448);
    for (let bit = 0; bit < 8; bit++) {
      paint.fillStyle = n >> bit & 1 ? 'white' : 'black';
      paint.fillRect(bit * 64, 448, 64, 64);
    }
  }, 33);
  window.post = async (url, peer) => {
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'},
                                     body: peer.localDescription.sdp});
    const text = await answer.text();
    if (answer.status !== 201) throw new Error(answer.status + text);
    await peer.setRemoteDescription({type: 'answer', sdp: text});
    return answer.headers.get('Location');
  };
  window.up = new RTCPeerConnection();
  window.up.addTransceiver(canvas.captureStream().getTracks()[0], {direction: 'sendonly'});
  return await post('/whip/noop?stream=page', window.up);
})()"""
WATCH = """(async () => {
  const begin = performance.now(), down = window.down = new RTCPeerConnection();
  const video = window.video = document.createElement('video');
  video.muted = true;
  document.body.prepend(video);
  down.ontrack = ({track}) => { video.srcObject = new MediaStream([track]); video.play(); };
  down.addTransceiver('video', {direction: 'recvonly'});
  await post('/whep/page', down);
  await new Promise(resolve => video.requestVideoFrameCallback(resolve));
  const first = performance.now() - begin;
  const small = document.createElement('canvas'), paint = small.getContext('2d', {willReadFrequently: true});
  small.width = 64; small.height = 8;
  window.delays = [];
  const look = () => {
    paint.drawImage(video, 0, 448, 512, 64, 0, 0, 64, 8);
    const row = paint.getImageData(0, 4, 64, 1).data;
    let n = 0;
    for (let bit = 0; bit < 8; bit++) n |= (row[(bit * 8 + 4) * 4] > 128) << bit;
    delays.push(performance.now() - drawn[n]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  return first;
})()"""
PIXEL = """(() => {
  const canvas = document.createElement('canvas'), paint = canvas.getContext('2d');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  paint.drawImage(video, 0, 0);
  return [canvas.width, canvas.height, ...paint.getImageData(256, 200, 1, 1).data].slice(0, 5);
})()"""
SENT = """(async () => {
  const all = [...(await up.getStats()).values()], out = all.find(s => s.type === 'outbound-rtp');
  return {codec: all.find(s => s.id === out.codecId).mimeType, target: out.targetBitrate, width: out.frameWidth};
})()"""
SEEN = """(async () => [...(await down.getStats()).values()].find(s => s.type === 'inbound-rtp').framesDecoded)()"""


async def test_a_browser_publishes_and_plays_and_its_worker_is_free_when_it_is_killed(tmp_path: Path) -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run, chromium(tmp_path) as browser:
        await run.wait_health(http, "IDLE")
        page = await browser.open(f"{run.url}/docs-of-nobody")
        location = await page.evaluate(PUBLISH)
        assert location.startswith("/whip/noop/")
        first_ms = await page.evaluate(WATCH)
        await page.wait_for("(async () => (await (" + SEEN + ")) >= 60)()", 20)
        width, height, red, green, blue = await page.evaluate(PIXEL)
        assert (width, height) == (512, 512)
        assert max(abs(red - 200), abs(green - 60), abs(blue - 30)) < 16, (red, green, blue)
        await page.wait_for("delays.length >= 150", 30)
        delays_ms = sorted(await page.evaluate("delays.slice(30)"))
        sent = await page.evaluate(SENT)
        print(f"WHEP offer to first frame: {first_ms:.0f} ms; publishing {sent}")
        p50_ms, p95_ms = delays_ms[len(delays_ms) // 2], delays_ms[len(delays_ms) * 95 // 100]
        print(f"drawn to seen, through the pipeline: p50 {p50_ms:.0f} ms, p95 {p95_ms:.0f} ms")
        assert p50_ms < 1000
        assert sent["codec"] == "video/H264"
        assert sent["width"] == 512
        assert sent["target"] >= 1_000_000, "the bandwidth is taken for narrow"
        browser.kill()
        begin_s = time.monotonic()
        await wait_streams(run, http, 0)
        freed_s = time.monotonic() - begin_s
    print(f"a killed browser's worker was free after {freed_s:.1f} s")
    assert freed_s < FREE_LIMIT_S
