"""64-byte frame messages: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.wire import WireError, frames

pytestmark = pytest.mark.unit

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
slots = st.frozensets(st.integers(0, 31))
side = st.integers(1, frames.MAX_SIDE_PIXELS)
time_bases = st.builds(Fraction, st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))
picture = {
    "session": u32,
    "seq": u64,
    "slot": st.integers(0, 2**16 - 1),
    "height": side,
    "width": side,
    "pts": st.integers(-(2**63), 2**63 - 1),
    "time_base": time_bases,
    "freed": slots,
}
messages = st.one_of(
    st.builds(frames.FrameReady, **picture, sent_ns=u64),
    st.builds(
        frames.Result,
        **picture,
        is_loading_frame=st.booleans(),
        taken_ns=u64,
        answered_ns=u64,
        demand=st.integers(0, 255),
    ),
    st.builds(frames.Returned, session=u32, seq=u64, demand=st.integers(0, 255), freed=slots),
    st.builds(frames.OutputsFreed, freed=slots),
)


@given(messages)
def test_messages_survive_the_way(message: frames.FrameMessage) -> None:
    packet = frames.encode(message)
    assert len(packet) == frames.MESSAGE_BYTES
    assert frames.decode(bytes(packet)) == message


@given(messages, slots)
def test_freed_slots_can_be_added_at_the_last_moment(
    message: frames.FrameMessage, freed: frozenset[int]
) -> None:
    packet = frames.encode(message)
    frames.set_freed(packet, freed)
    assert frames.decode(bytes(packet)) == message._replace(freed=freed)


@given(st.binary(max_size=80))
def test_garbage_is_an_error_and_nothing_else(packet: bytes) -> None:
    try:
        message = frames.decode(packet)
    except WireError:
        return
    assert len(packet) == frames.MESSAGE_BYTES
    assert frames.decode(bytes(frames.encode(message))) == message


@given(messages, st.integers(0, 63), st.integers(0, 255))
def test_a_flipped_byte_never_makes_an_impossible_picture(
    message: frames.FrameMessage, at: int, byte: int
) -> None:
    packet = frames.encode(message)
    packet[at] = byte
    try:
        other = frames.decode(bytes(packet))
    except WireError:
        return
    if isinstance(other, frames.FrameReady | frames.Result):
        assert 0 < other.height <= frames.MAX_SIDE_PIXELS
        assert other.time_base > 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pts": 2**63}, "pts"),
        ({"time_base": Fraction(1, 2**40)}, "time_base"),
        ({"slot": -1}, "slot"),
        ({"session": 2**32}, "session"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, object], word: str) -> None:
    good = frames.FrameReady(1, 1, 0, 16, 16, 0, Fraction(1, 30))
    with pytest.raises(WireError, match=word):
        frames.encode(good._replace(**changes))


@given(
    st.integers(1, 40_000), st.integers(1, 40_000), st.integers(-(2**65), 2**65), st.fractions() | st.none()
)
def test_the_check_before_a_slot_is_spent_agrees_with_the_message(
    height: int, width: int, pts: int, time_base: Fraction | None
) -> None:
    try:
        frames.check_picture(height, width, pts, time_base)  # type: ignore[arg-type]  # None is the author's mistake
    except WireError:
        return
    assert time_base is not None
    message = frames.Result(1, 1, 0, height, width, pts, time_base)
    assert frames.decode(bytes(frames.encode(message))) == message
