"""What WHIP and WHEP answer to requests that are not as they should be, and to trickled candidates."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from tests._support.live import wait_streams

from ai_runner_base.testing.live import runner
from ai_runner_base.trickle import client_session

pytest.importorskip("aiortc", reason="WebRTC is optional")
from tests._support.webrtc import ClipTrack, connection, post_offer, publisher, wait_connected

pytestmark = pytest.mark.media

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATE = re.compile(r"^a=(candidate:.*|end-of-candidates)\r\n", re.M)


async def test_requests_that_are_not_as_they_should_be_are_told_why() -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        cases = [
            ("/whip/noop", {"Content-Type": "text/plain"}, b"v=0", 415, "application/sdp"),
            ("/whip/noop", SDP, b"", 400, "no SDP offer"),
            ("/whip/noop", SDP, b"v=0\r\nm=video what\r\n", 400, "no SDP offer"),
            ("/whip/noop", SDP, b"\xff\xfe", 400, "UTF-8"),
            ("/whip/noop", SDP, b"v" * 70_000, 400, "65536 bytes"),
            ("/whip/noop?params=[1]", SDP, b"v=0", 400, "JSON object"),
            ("/whip/noop?params={", SDP, b"v=0", 400, "not JSON"),
            ("/whip/noop?bitrate=many", SDP, b"v=0", 400, "bit/s"),
            ("/whip/noop?stream=..%2Fx", SDP, b"v=0", 400, "must match"),
            ("/whip/noop", SDP | {"Origin": "http://evil.example"}, b"v=0", 403, "evil.example"),
            ("/whep/nobody", SDP, b"v=0", 404, "nobody"),
        ]
        for path, headers, body, status, words in cases:
            async with http.post(run.url + path, data=body, headers=headers) as answer:
                told = (await answer.json())["detail"]["msg"]
                assert (answer.status, words in told) == (status, True), (
                    path,
                    body[:20],
                    answer.status,
                    told,
                )
        for method in ("PATCH", "DELETE"):
            for path in ("/whip/noop/unknown", "/whep/x/unknown"):
                async with http.request(method, run.url + path, data=b"", headers=FRAGMENT) as answer:
                    assert answer.status == 404
        assert (await run.call(http, "GET", "/streams"))[1]["streams"] == []


async def test_offers_that_cannot_be_served_take_no_worker(tmp_path: Path) -> None:
    track = ClipTrack(tmp_path / "clip.mp4")
    async with client_session() as http, runner("--pipeline", "noop", "--auth-token", "abc") as run:
        await run.wait_health(http, "IDLE")
        token = {"Authorization": "Bearer abc"}

        async def post(path: str, change: object = str, **headers: str) -> tuple[int, str]:
            pc = connection()
            pc.addTransceiver(
                track if "whip" in path else "video", direction="sendonly" if "whip" in path else "recvonly"
            )
            try:
                status, told, text = await post_offer(http, run.url + path, pc, change, headers=headers)
                return status, f"{text} {dict(told)}"
            finally:
                await pc.close()

        assert (await post("/whip/noop"))[0] == 401
        assert (await post("/whip/absent", **token))[0] == 400
        assert (await post('/whip/noop?params={"width":1}', **token))[0] == 400
        status, words = await post("/whip/noop", lambda sdp: re.sub("VP8|H264", "VP9", sdp), **token)
        assert (status, "no codec in common" in words) == (406, True)
        assert (await run.call(http, "GET", "/streams"))[1]["streams"] == []
        deaf = connection()
        deaf.createDataChannel("words")
        status, _, text = await post_offer(http, f"{run.url}/whip/noop", deaf, headers=token)
        await deaf.close()
        assert (status, "no video" in text) == (406, True)
        assert (await run.call(http, "GET", "/streams"))[1]["streams"] == []
        async with publisher(run, http, "/whip/noop?stream=cam", track, headers=token):
            status, words = await post("/whip/noop", **token)
            assert (status, "Retry-After" in words, "insufficient capacity" in words) == (503, True, True)
            assert (await post("/whip/noop?stream=cam", **token))[0] == 409
            status, words = await post("/whep/cam", lambda sdp: re.sub("VP8|H264", "VP9", sdp), **token)
            assert (status, "H.264" in words) == (406, True)
            assert (await post("/whep/cam"))[0] == 401


async def test_candidates_may_come_later(tmp_path: Path) -> None:
    track = ClipTrack(tmp_path / "clip.mp4")
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        pc, later = connection(), []

        def hold_back(sdp: str) -> str:
            later.extend(CANDIDATE.findall(sdp))
            return CANDIDATE.sub("", sdp)

        pc.addTransceiver(track, direction="sendonly")
        try:
            status, headers, text = await post_offer(http, f"{run.url}/whip/noop", pc, hold_back)
            assert status == 201, text
            url, mid = run.url + headers["Location"], pc.getTransceivers()[0].mid
            fragment = f"a=mid:{mid}\r\n" + "".join(f"a={line}\r\n" for line in later)
            etag = {"If-Match": headers["ETag"]}
            async with http.patch(url, data=fragment, headers=FRAGMENT | etag) as answer:
                assert answer.status == 204, await answer.text()
            await wait_connected(pc)
            for body, more, status in (
                ("a=ice-ufrag:other\r\n", etag, 400),
                (fragment, {"If-Match": '"other"'}, 412),
                (f"a=mid:{mid}\r\na=candidate:what\r\n", etag, 400),
            ):
                async with http.patch(url, data=body, headers=FRAGMENT | more) as answer:
                    assert answer.status == status, await answer.text()
            await wait_streams(run, http, 1)
        finally:
            await pc.close()


async def test_names_in_local_do_not_hold_the_answer_up_and_the_peer_is_found_without_them(
    tmp_path: Path,
) -> None:
    track = ClipTrack(tmp_path / "clip.mp4")
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        async with publisher(run, http, "/whip/noop", track):  # aiortc is loaded by the first peer
            pass
        await wait_streams(run, http, 0)

        def hide(sdp: str) -> str:
            return re.sub(
                r"(a=candidate:\S+ \d+ \S+ \d+) \S+", r"\1 5b3f9e1c-0000-4000-8000-123456789abc.local", sdp
            )

        second = ClipTrack(tmp_path / "clip.mp4")
        begin_s = time.monotonic()
        async with publisher(run, http, "/whip/noop", second, change=hide):
            print(f"connected after {(time.monotonic() - begin_s) * 1000:.0f} ms")
            assert time.monotonic() - begin_s < 0.9  # resolving alone would take a second


async def test_a_peer_that_never_connects_gives_its_worker_back(tmp_path: Path) -> None:
    track = ClipTrack(tmp_path / "clip.mp4")
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        pc = connection()
        pc.addTransceiver(track, direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        async with http.post(
            f"{run.url}/whip/noop", data=pc.localDescription.sdp.encode(), headers=SDP
        ) as answer:
            assert answer.status == 201
        await pc.close()
        await wait_streams(run, http, 1)
        begin_s = time.monotonic()
        await wait_streams(run, http, 0)
        assert 5 < time.monotonic() - begin_s < 14
