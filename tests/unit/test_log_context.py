"""Ids of callers in log lines."""

from __future__ import annotations

import contextvars

import pytest

from ai_runner_base.log_context import MAX_ID_CHARS, set_stream_ids, stream_ids

pytestmark = pytest.mark.unit


def ids_after(gateway_request_id: str) -> dict[str, str]:
    def name() -> dict[str, str]:
        set_stream_ids(gateway_request_id=gateway_request_id, manifest_id="m", stream_id="s")
        return stream_ids()

    return contextvars.copy_context().run(name)


def test_ids_travel_with_the_task_only() -> None:
    assert ids_after("g")["gateway_request_id"] == "g"
    assert set(stream_ids().values()) == {""}


@pytest.mark.parametrize("text", ["a\nlevel=ERROR message=faked", "a b", "\x1b[31mred", "\u2028next"])
def test_an_id_cannot_break_a_line_or_fake_a_field(text: str) -> None:
    shown = ids_after(text)["gateway_request_id"]
    assert len(shown.split()) == 1
    assert shown.isprintable()
    assert shown.splitlines() == [shown]


def test_an_endless_id_is_cut() -> None:
    assert len(ids_after("x" * 100_000)["gateway_request_id"]) == MAX_ID_CHARS
