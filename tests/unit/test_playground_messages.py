"""What pages may say, and how they are told no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.errors import CallerError
from ai_runner_base.server.playground_messages import (
    ACKNOWLEDGEMENT,
    PICTURE,
    Binary,
    Start,
    parse,
    parse_json,
    refusal,
)

pytestmark = pytest.mark.unit


@given(
    kind=st.sampled_from([PICTURE, ACKNOWLEDGEMENT]),
    seq=st.integers(0, 2**32 - 1),
    time_us=st.integers(0, 2**63 - 1),
    jpeg=st.binary(max_size=64),
    flags=st.integers(0, 255),
)
def test_binary_messages_survive_the_round_trip(
    kind: int, seq: int, time_us: int, jpeg: bytes, flags: int
) -> None:
    message = Binary(kind, seq, time_us, jpeg, flags)
    assert Binary.decode(message.encode()) == message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (Binary(PICTURE, 0, 5).encode()[:15], "15 bytes"),
        (Binary(9, 0, 5).encode(), "kind 9"),
        (Binary(PICTURE, 0, -1).encode(), "got -1"),
    ],
)
def test_broken_binary_messages_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        Binary.decode(data)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[1]", "got list"), ("null", "got NoneType")]
)
def test_text_that_is_no_object_is_refused(text: str, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        parse_json(text)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "begin"}, "type"),
        ({"type": "start", "params": 3}, "params"),
        ({"type": "start", "token": "x" * 1001}, "token"),
    ],
)
def test_broken_start_names_the_field(message: dict[str, object], words: str) -> None:
    with pytest.raises(CallerError, match=words):
        parse(Start, message)


def test_refusal_carries_the_hint_for_a_person_and_the_code_for_the_page() -> None:
    error = CallerError("no such pipeline", hint="try noop")
    assert refusal("invalid", error, retry_after_s=1) == {
        "type": "refused",
        "code": "invalid",
        "message": "no such pipeline",
        "hint": "try noop",
        "retry_after_s": 1,
    }
