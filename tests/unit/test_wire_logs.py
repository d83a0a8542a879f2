"""A worker's output: records keep level and logger, prints are lines, and nothing grows without bound."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.wire import logs

pytestmark = pytest.mark.unit

plain = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200)


@given(st.integers(0, 9999), plain, st.lists(plain, min_size=1, max_size=4), st.integers(1, 50))
def test_records_survive_any_chunking(level: int, logger: str, texts: list[str], size: int) -> None:
    text = "\n".join(texts)
    packet = logs.encode(level, logger, text)
    reader, lines = logs.LineReader(), []
    for at in range(0, len(packet), size):
        lines += reader.feed(packet[at : at + size])
    assert lines == [logs.Line(level, logger[:200], text)]
    assert reader.close() == []


@given(st.binary(max_size=500))
def test_any_bytes_are_lines(chunk: bytes) -> None:
    reader = logs.LineReader()
    lines = reader.feed(chunk) + reader.close()
    assert len(lines) == chunk.count(b"\n") + (not chunk.endswith(b"\n") and chunk != b"")


def test_what_is_printed_is_an_info_line_without_a_logger() -> None:
    reader = logs.LineReader()
    assert reader.feed(b"50 %\r\nno \xff text\nrest") == [
        logs.Line(logging.INFO, "", "50 %"),
        logs.Line(logging.INFO, "", "no \\xff text"),
    ]
    assert reader.close() == [logs.Line(logging.INFO, "", "rest")]


def test_a_line_without_end_is_cut() -> None:
    reader = logs.LineReader()
    lines = [line for _ in range(10) for line in reader.feed(b"x" * 10_000)]
    assert len(lines) == 100_000 // logs.MAX_LINE_BYTES
    assert {len(line.text) for line in lines} == {logs.MAX_LINE_BYTES}


def test_of_a_long_record_the_end_is_kept() -> None:
    reader = logs.LineReader()
    (line,) = reader.feed(logs.encode(logging.ERROR, "x", "frame\n" * 10_000 + "ValueError: the cause"))
    assert line.text.startswith("...")
    assert line.text.endswith("ValueError: the cause")
    assert line.level == logging.ERROR
