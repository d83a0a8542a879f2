"""Durations, replies, offers and metadata as they go over the wire."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.errors import CallerError, PeerError
from ai_runner_base.orchestrator import (
    METADATA_LIMIT_BYTES,
    Gpu,
    Offer,
    Price,
    Reply,
    pack_metadata,
    parse_duration_s,
)

pytestmark = pytest.mark.unit

REPLY: dict[str, Any] = {
    "runner_id": "runner_abc",
    "orchestrator": "http://orch:8935",
    "heartbeat_interval": "5s",
    "heartbeat_ttl": "20s",
    "heartbeat_secret": "hb-secret",
    "o2r": {
        "name": "o2r",
        "channel_name": "x",
        "url": "http://orch:8935/ai/trickle/x",
        "mime_type": "application/json",
    },
    "session_ids": ["s1", "s2"],
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1h0m0s", 3600),
        ("1.5s", 1.5),
        ("2m0.5s", 120.5),
        ("10µs", 1e-5),
    ],
)
def test_durations_are_read_as_go_prints_them(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "0s", "5s?", "5x", "1e3s", "∞s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(PeerError, match="duration"):
        parse_duration_s(text)


def test_a_first_reply_is_read_whole() -> None:
    reply = Reply.parse(REPLY)
    assert (reply.runner_id, reply.interval_s, reply.ttl_s) == ("runner_abc", 5, 20)
    assert reply.session_ids == ("s1", "s2")
    assert (reply.heartbeat_secret, reply.events_url) == ("hb-secret", "http://orch:8935/ai/trickle/x")
    assert "hb-secret" not in repr(reply)
    assert "trickle" not in repr(reply), "the channel's name is a secret"


def test_an_internal_url_of_the_event_channel_comes_first() -> None:
    channel = REPLY["o2r"] | {"internal_url": "http://inside/x"}
    assert Reply.parse(REPLY | {"o2r": channel}).events_url == "http://inside/x"


def test_a_later_reply_has_no_secret_and_may_have_null_lists() -> None:
    reply = Reply.parse(
        {k: v for k, v in REPLY.items() if k not in ("heartbeat_secret", "o2r")} | {"session_ids": None}
    )
    assert (reply.heartbeat_secret, reply.events_url, reply.session_ids) == ("", "", ())


@pytest.mark.parametrize(
    "change",
    [
        {"runner_id": ""},
        {"runner_id": 5},
        {"heartbeat_interval": None},
        {"heartbeat_ttl": "soon"},
        {"session_ids": "s1"},
        {"session_ids": [1]},
        {"heartbeat_secret": ["x"]},
    ],
)
def test_a_reply_that_makes_no_sense_is_the_peers_fault(change: dict[str, Any]) -> None:
    with pytest.raises(PeerError):
        Reply.parse(REPLY | change)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_no_reply_raises_anything_else(data: Any) -> None:
    with pytest.raises(PeerError):
        Reply.parse(data)


def test_an_offer_has_the_names_and_types_of_the_wire() -> None:
    offer = Offer(
        runner_url="http://runner:8000",
        app="live-video-to-video/noop",
        version="1.0",
        status="ready",
        capacity=2,
        gpu=Gpu("GPU-1", "NVIDIA L40S", 46068),
        price=Price(Decimal("3.50"), "720p"),
        metadata="{}",
        session_ids=("s1",),
    )
    assert json.loads(json.dumps(offer.body("runner_1"))) == {
        "runner_id": "runner_1",
        "runner_url": "http://runner:8000",
        "app": "live-video-to-video/noop",
        "version": "1.0",
        "status": "ready",
        "mode": "persistent",
        "capacity": 2,
        "gpu": {"id": "GPU-1", "name": "NVIDIA L40S", "vram_mb": 46068},
        "price_info": {"price": 3.5, "currency": "usd", "unit": "720p"},
        "metadata": "{}",
        "session_ids": ["s1"],
    }


def test_without_a_gpu_or_a_price_they_are_left_out() -> None:
    body = Offer("http://r", "a", "", "ready", 1).body("")
    assert {"gpu", "price_info"} & set(body) == set()


@pytest.mark.parametrize("usd", ["0", "-1", "NaN", "Infinity"])
def test_a_price_is_more_than_nothing(usd: str) -> None:
    with pytest.raises(CallerError, match="more than 0"):
        Price(Decimal(usd))


def test_a_price_has_one_of_three_units() -> None:
    with pytest.raises(CallerError, match="hour, 720p, fixed"):
        Price(Decimal(1), "day")


def test_metadata_that_fits_is_kept_in_order_without_gaps() -> None:
    assert pack_metadata({"package": "x", "build": None, "n": 1}) == '{"package":"x","n":1}'


def test_what_is_last_goes_first_when_metadata_is_too_long() -> None:
    text = pack_metadata({"package": "x", "long": "y" * 900, "later": "z" * 200})
    assert json.loads(text) == {"package": "x", "long": "y" * 900}


@given(st.dictionaries(st.text(max_size=50), st.text(max_size=600), max_size=8))
def test_metadata_always_fits_and_is_plain(fields: dict[str, str]) -> None:
    text = pack_metadata(fields)
    assert len(text.encode()) <= METADATA_LIMIT_BYTES
    assert text.isascii()
    assert set(json.loads(text).items()) <= set(fields.items())
