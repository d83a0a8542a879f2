"""`BytePipe`: bounded, never in the writer's way, and no reader is left waiting."""

from __future__ import annotations

import threading

import pytest

from ai_runner_base.media import BytePipe

pytestmark = pytest.mark.unit


def test_chunks_come_out_as_they_went_in() -> None:
    pipe = BytePipe(100)
    assert pipe.write(b"one")
    assert pipe.write(b"two")
    assert pipe.waiting_bytes == 6
    first, second = pipe.read_chunk(0), pipe.read_chunk(0)
    assert first is not None
    assert second is not None
    assert (first.data, second.data) == (b"one", b"two")
    assert 0 < first.received_ns <= second.received_ns
    assert not first.gap
    assert pipe.waiting_bytes == 0


def test_what_waits_is_read_after_close_and_then_the_end() -> None:
    pipe = BytePipe(100)
    pipe.write(b"rest")
    pipe.close()
    assert not pipe.write(b"too late")
    chunk = pipe.read_chunk(0)
    assert chunk is not None
    assert chunk.data == b"rest"
    assert pipe.read_chunk(0) is None
    assert pipe.read_chunk(0) is None


def test_a_reader_too_far_behind_skips_to_the_live_edge() -> None:
    pipe = BytePipe(10)
    assert pipe.write(b"12345")
    assert pipe.write(b"67890")
    assert not pipe.write(b"newest")
    chunk = pipe.read_chunk(0)
    assert chunk is not None
    assert (chunk.data, chunk.gap) == (b"newest", True)
    assert pipe.live_edge_skips == 1
    assert pipe.write(b"x")
    after = pipe.read_chunk(0)
    assert after is not None
    assert not after.gap


def test_one_write_larger_than_the_limit_is_taken_whole() -> None:
    pipe = BytePipe(4)
    assert pipe.write(b"larger than the limit")
    chunk = pipe.read_chunk(0)
    assert chunk is not None
    assert chunk.data == b"larger than the limit"
    assert not chunk.gap


def test_a_writer_that_lost_bytes_marks_the_gap() -> None:
    pipe = BytePipe(100)
    pipe.write(b"old")
    pipe.skip()
    pipe.write(b"new")
    chunk = pipe.read_chunk(0)
    assert chunk is not None
    assert (chunk.data, chunk.gap) == (b"new", True)


def test_a_read_without_bytes_times_out() -> None:
    with pytest.raises(TimeoutError):
        BytePipe().read_chunk(0.01)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_blocked_reader_wakes_at_the_end(end: str) -> None:
    pipe = BytePipe()
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.append(pipe.read_chunk(10)), name="decode-test")
    reader.start()
    getattr(pipe, end)()
    reader.join(5)
    assert seen == [None]


def test_abort_throws_away_what_waits() -> None:
    pipe = BytePipe()
    pipe.write(b"never read")
    pipe.abort()
    assert pipe.read_chunk(0) is None
    assert pipe.waiting_bytes == 0
