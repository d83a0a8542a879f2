"""STUN and TURN servers from the command line to the peers, and what there is without aiortc."""

from __future__ import annotations

import sys

import click
import pytest

from ai_runner_base.cli.serve import _ice_servers, command
from ai_runner_base.webrtc import IceServer, UnavailableError, load

pytestmark = pytest.mark.unit


def _parse(*values: str) -> tuple[IceServer, ...]:
    return _ice_servers(click.Context(command), command.params[0], values)


def test_servers_are_read_with_their_credentials() -> None:
    assert _parse("stun:stun.example.org", "turn:turn.example.org:3478?transport=udp,me,secret") == (
        IceServer("stun:stun.example.org"),
        IceServer("turn:turn.example.org:3478?transport=udp", "me", "secret"),
    )


@pytest.mark.parametrize("value", ["http://example.org", "turn:x,me", "turn:x,me,secret,more", ""])
def test_other_words_are_refused_without_repeating_a_secret(value: str) -> None:
    with pytest.raises(click.BadParameter, match="turn:HOST:PORT,USER,PASSWORD") as refused:
        _parse(value)
    assert "secret" not in str(refused.value)


def test_without_aiortc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("ai_runner_base.webrtc._peers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(UnavailableError, match=r"aiortc.*environment `webrtc`") as refused:
        load()
    assert refused.value.http_status == 501
