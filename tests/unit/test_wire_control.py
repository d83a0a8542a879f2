"""Control messages: any chunking, bounded size, and nothing but the messages that there are."""

from __future__ import annotations

import json
import struct
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.wire import WireError, control

pytestmark = pytest.mark.unit

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)
BY_TYPE = {
    int: st.integers(0, 2**53),
    float: st.floats(0, 1e9),
    str: st.text(max_size=30),
    bool: st.booleans(),
    dict[str, typing.Any]: objects,
    dict[str, typing.Any] | None: st.none() | objects,
    list[int] | None: st.none() | st.lists(st.integers(0, 4096), min_size=2, max_size=2),
    list[str]: st.lists(st.text(max_size=8), max_size=3),
    list[typing.Any]: st.lists(objects, max_size=3),
}


def strategy_of(cls: type) -> st.SearchStrategy[control.ControlMessage]:
    return st.builds(cls, **{name: BY_TYPE[hint] for name, hint in typing.get_type_hints(cls).items()})


messages = st.one_of([strategy_of(cls) for cls in typing.get_args(control.ControlMessage)])


def framed(content: object) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack(">I", len(body)) + body


@given(st.lists(messages, max_size=5), st.data())
def test_messages_survive_any_chunking(sent: list[control.ControlMessage], data: st.DataObject) -> None:
    stream = b"".join(map(control.encode, sent))
    decoder, received, at = control.Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[at : at + size])
        at += size
    assert received == sent


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_incomplete(chunk: bytes) -> None:
    try:
        assert control.Decoder().feed(chunk) == []
    except WireError:
        return


def test_an_announced_monster_is_refused_before_it_comes() -> None:
    with pytest.raises(WireError, match="2000000 bytes"):
        control.Decoder().feed(struct.pack(">I", 2_000_000))


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(WireError, match=r"UpdateParams has \d+ bytes, more than 1048576"):
        control.encode(control.UpdateParams(1, {"prompt": "x" * 1_100_000}))


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(WireError, match="UpdateParams cannot be written"):
        control.encode(control.UpdateParams(1, {"prompt": object()}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"type": "Explode"}, "unknown control message"),
        (["Ping"], "unknown control message"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ({"type": "Ping"}, "incomplete"),
        ({"type": "Ping", "request": "one"}, "Ping.request cannot be 'one'"),
        ({"type": "Ping", "request": True}, "Ping.request cannot be True"),
        ({"type": "UpdateParams", "request": 1, "params": []}, "UpdateParams.params"),
        ({"type": "Load", "entry_point": None, "slots": 1}, "Load.entry_point"),
    ],
)
def test_other_json_is_refused_by_name(content: object, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        control.Decoder().feed(framed(content))


def test_unknown_keys_of_a_newer_side_are_ignored() -> None:
    (message,) = control.Decoder().feed(framed({"type": "Ping", "request": 3, "mood": "good"}))
    assert message == control.Ping(3)


def test_hello_has_the_shape_it_will_always_have() -> None:
    """Two versions that share nothing else can still tell each other who they are."""
    packet = control.encode(control.Hello(1, "0.1.0", "3.11.7", 5))
    expected = {
        "type": "Hello",
        "protocol": 1,
        "package_version": "0.1.0",
        "python_version": "3.11.7",
        "pid": 5,
    }
    assert json.loads(packet[4:]) == expected
