"""A decoder that is behind its input: pictures are left out, not time added."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from ai_runner_base.media import (
    BytePipe,
    ClipOptions,
    Decoder,
    DecoderOptions,
    Picture,
    _catch_up,
    encode_ts_clip,
)
from ai_runner_base.testing.live import split_frames

pytestmark = pytest.mark.media

LATE_S = 0.2
FRAMES = [frame.data for frame in split_frames(encode_ts_clip(2, ClipOptions(320, 240, fps=30)))]


def delayed(monkeypatch: pytest.MonkeyPatch, delay_s: float) -> None:
    """Have all bytes look so much older than they are."""
    clock = SimpleNamespace(monotonic_ns=lambda: time.monotonic_ns() + round(delay_s * 1e9))
    monkeypatch.setattr(_catch_up, "time", clock)


def decode(pipe: BytePipe, options: DecoderOptions) -> tuple[Decoder, list[Picture]]:
    pictures: list[Picture] = []
    ended = threading.Event()
    decoder = Decoder(pipe, on_video=pictures.append, on_end=lambda _: ended.set(), options=options)
    decoder.start()
    assert ended.wait(30)
    assert decoder.stop(5)
    return decoder, pictures


def filled() -> BytePipe:
    pipe = BytePipe()
    for data in FRAMES:
        pipe.write(data)
    return pipe


def test_late_pictures_are_decoded_and_left_out_but_for_a_few_and_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delayed(monkeypatch, 2 * LATE_S)
    pipe = filled()
    pipe.close()
    decoder, pictures = decode(pipe, DecoderOptions(late_s=LATE_S))
    assert decoder.counters.skipped_late > len(FRAMES) / 2
    assert decoder.counters.skipped_late + len(pictures) == len(FRAMES)
    assert pictures[0].key_frame
    assert round(pictures[-1].pts - pictures[0].pts) == (len(FRAMES) - 1) * 3000
    assert decoder.counters.live_edge_skips == 0


def test_whoever_wants_all_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    delayed(monkeypatch, 100 * LATE_S)
    pipe = filled()
    pipe.close()
    decoder, pictures = decode(pipe, DecoderOptions())
    assert (len(pictures), decoder.counters.skipped_late) == (len(FRAMES), 0)


def test_what_is_far_too_late_is_thrown_away_up_to_the_newest_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    delayed(monkeypatch, 20 * LATE_S)
    pipe = filled()
    monkeypatch.setattr(
        pipe, "skip", lambda: (BytePipe.skip(pipe), pipe.write(b"".join(FRAMES)), pipe.close())
    )
    decoder, pictures = decode(pipe, DecoderOptions(late_s=LATE_S))
    assert decoder.counters.live_edge_skips == 1
    assert len(pictures) == len(FRAMES)  # what came after the skip; nothing newer waits behind it
    assert pictures[0].discontinuity
