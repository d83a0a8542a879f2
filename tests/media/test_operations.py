"""What operators rely on: metrics, readiness, draining, GPUs, one line of address, errors with exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests._support.live import clip, start

from ai_runner_base.media import pick_live_decoder, pick_live_encoder
from ai_runner_base.testing.live import Viewer, runner, send
from ai_runner_base.trickle import client_session

pytestmark = pytest.mark.media


async def stream_codecs(http: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """What decodes and encodes the only stream, by kind, as soon as it does."""
    async with asyncio.timeout(15):
        while True:
            async with http.get(f"{url}/metrics") as answer:
                text = await answer.text()
            found = re.findall(
                r'^ai_runner_stream_codecs{codec="(\w+)",kind="(\w+)",pipeline="noop"} 1.0$', text, re.M
            )
            if len(found) == 2:
                return {kind: codec for codec, kind in found}
            await asyncio.sleep(0.05)


async def test_metrics_count_what_streams_did_and_keep_counting_after_them() -> None:
    viewer, frames = Viewer(), clip()[:60]
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", frames))
        codecs = await stream_codecs(http, run.url)
        await sending
        await asyncio.wait_for(watching, 20)
        await run.wait_health(http, "IDLE")
        async with http.get(f"{run.url}/metrics") as answer:
            assert answer.content_type == "text/plain"
            text = await answer.text()
    values = dict(re.findall(r"^(\w+(?:{[^}]*})?) (\S+)$", text, re.M))
    assert re.search(r'^version{app="ai-runner",version="[^"]+"} 1.0$', text, re.M)
    assert float(values['ai_runner_frames_total{outcome="in",pipeline="noop"}']) == len(frames)
    assert float(values['ai_runner_streams_started_total{pipeline="noop"}']) == 1
    assert float(values['ai_runner_workers{pipeline="noop",state="ready"}']) == 1
    total = 'ai_runner_frame_latency_seconds_bucket{le="+Inf",pipeline="noop",stage="total"}'
    assert 0.9 * len(frames) <= float(values[total]) <= len(frames)
    assert "process_resident_memory_bytes" in values
    assert codecs == {"decoder": pick_live_decoder(), "encoder": pick_live_encoder()}


async def test_a_stream_may_end_by_itself_after_sigterm_and_no_other_begins() -> None:
    viewer, frames = Viewer(), clip()
    async with client_session() as http, runner("--pipeline", "noop", "--drain-timeout", "20") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        watching = asyncio.create_task(viewer.watch(http, f"{run.url}/ai/trickle/a-out"))
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", frames))
        await asyncio.sleep(1)
        run.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        body = {"subscribe_url": f"{run.url}/ai/trickle/b", "publish_url": f"{run.url}/ai/trickle/b-out"}
        status, answer = await run.call(http, "POST", "/live-video-to-video", body)
        assert (status, "insufficient capacity" in answer["detail"]["msg"]) == (500, True)
        await asyncio.wait_for(asyncio.gather(sending, watching), 20)
        await asyncio.wait_for(run.process.wait(), 10)
    assert run.process.returncode == 0
    assert len(viewer.pictures) >= 0.95 * len(frames)
    assert not [line for line in run.lines if "level=ERROR" in line], "a full runner is no error"


async def test_a_plain_stop_in_the_middle_of_a_stream_is_quick_and_leaves_nothing() -> None:
    async with client_session() as http, runner("--pipeline", "noop") as run:
        await run.wait_health(http, "IDLE")
        await start(run, http)
        sending = asyncio.create_task(send(http, f"{run.url}/ai/trickle/a", clip()))
        await asyncio.sleep(1.5)
        children = psutil.Process(run.pid).children(recursive=True)
        run.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(run.process.wait(), 10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert run.process.returncode == 0
    assert children
    assert not [child for child in children if child.is_running()]


async def test_service_managers_are_told_and_gpus_reach_the_worker_before_it_starts(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with runner("--pipeline=noop", "--workers=noop=2", "--gpus=3,GPU-5", env=env) as run:
            assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
            workers = psutil.Process(run.pid).children()
            seen = {worker.environ()["CUDA_VISIBLE_DEVICES"] for worker in workers}
        assert await asyncio.to_thread(manager.recv, 100) == b"STOPPING=1"
    assert seen == {"3", "GPU-5"}


@pytest.mark.parametrize(
    ("arguments", "env", "code", "words"),
    [
        (["serve", "--pipeline", "nop"], {}, 2, "did you mean noop"),
        (["serve"], {}, 2, "which pipeline?"),
        (["run", "--input", __file__, "--output", "/nowhere.mp4"], {}, 2, "which pipeline?"),
        (["serve", "--pipeline", "noop", "--pipeline", "noop"], {}, 2, "named twice"),
        (["serve", "--pipeline", "noop", "--workers", "effects=2"], {}, 2, "not served"),
        (["serve", "--pipeline", "noop", "--workers", "noop=0"], {}, 2, "N from 1 to 64"),
        (["serve", "--pipeline", "noop", "--tls", "abc"], {}, 2, "fingerprint"),
        (["prepare", "nothing"], {}, 2, "there is no pipeline 'nothing'"),
        (["serve"], {"MODEL_ID": "nop"}, 2, "did you mean noop"),
        (["serve", "--pipeline", "noop", "--encoder", "h265"], {}, 2, "no H.264 encoder 'h265'"),
        (["frobnicate"], {}, 2, "No such command"),
    ],
)
def test_errors_are_one_line_with_advice_and_an_exit_code(
    arguments: list[str], env: dict[str, str], code: int, words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ai_runner_base", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_the_hosts_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "ai_runner_base", "serve", "--pipeline", "noop", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_prepare_models_prepares_and_exits() -> None:
    command = [sys.executable, "-m", "ai_runner_base", "serve", "--pipeline", "noop"]
    env = {**os.environ, "PREPARE_MODELS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "noop is prepared" in done.stdout
