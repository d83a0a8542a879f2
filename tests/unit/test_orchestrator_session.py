"""The headers of a session and which callbacks they lead to; addresses of orchestrators."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from ai_runner_base.errors import CallerError
from ai_runner_base.orchestrator import OrchestratorClient, SessionHeaders, orchestrator_url
from ai_runner_base.trickle import TlsPolicy

pytestmark = pytest.mark.unit

HEADERS = {
    "Livepeer-Runner-Route": "runner_1",
    "Livepeer-Session-Id": "session_2",
    "Livepeer-Session-Token": "token",
    "Livepeer-Session-Control": "https://orch:8935/runner/runner_1/session/session_2",
}
ORCH = (URL("https://orch:8935"),)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def test_a_request_without_any_of_them_is_no_sessions() -> None:
    assert SessionHeaders.read({"Authorization": "x"}) is None


@pytest.mark.parametrize("missing", HEADERS)
@pytest.mark.parametrize("blank", [False, True])
def test_one_that_is_missing_is_refused(missing: str, blank: bool) -> None:
    rest = {k: v for k, v in HEADERS.items() if k != missing} | ({missing: " "} if blank else {})
    with pytest.raises(CallerError, match=missing):
        SessionHeaders.read(rest)


def read(**changes: str) -> SessionHeaders:
    headers = SessionHeaders.read(
        HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    )
    assert headers is not None
    return headers


def test_the_token_is_not_shown() -> None:
    assert "'token'" not in repr(read())


@pytest.mark.parametrize(
    ("control", "trusted"),
    [
        ("https://orch:8935/runner/runner_1/session/session_2", True),
        ("https://orch:8935/runner/runner_1/session/session_2/", True),
        ("https://ORCH:8935/runner/runner_1/session/session_2", True),
        ("http://orch:8935/runner/runner_1/session/session_2", False),
        ("https://orch/runner/runner_1/session/session_2", False),
        ("https://orch.evil.org:8935/runner/runner_1/session/session_2", False),
        ("https://orch:8935@evil.org/runner/runner_1/session/session_2", False),
        ("https://evil.org/#https://orch:8935/runner/runner_1/session/session_2", False),
        ("https://orch:8935/runner/runner_1/session/session_3", False),
        ("https://orch:8935/runner/runner_1/session/session_2?x=1", False),
        ("https://orch:8935/x/../runner/runner_1/session/session_2/../../../../admin", False),
        ("https://orch:8935/sub/runner/runner_1/session/session_2", False),
        ("runner/runner_1/session/session_2", False),
        ("https://[orch", False),
    ],
)
def test_callbacks_go_only_to_the_sessions_own_path_at_a_known_address(control: str, trusted: bool) -> None:
    assert read(Livepeer_Session_Control=control).is_under(ORCH) is trusted


def test_a_label_is_escaped_as_go_does() -> None:
    label = read(
        Livepeer_Runner_Route="my runner",
        Livepeer_Session_Control="https://orch:8935/base/runner/my%20runner/session/session_2",
    )
    assert label.is_under((URL("https://orch:8935/base"),))
    assert not label.is_under(ORCH)


@pytest.mark.parametrize(
    "text", ["orch:8935", "ftp://orch", "https://", "https://u:p@orch", "https://orch?x=1", ""]
)
def test_an_orchestrators_address_is_a_plain_url(text: str) -> None:
    with pytest.raises(CallerError):
        orchestrator_url(text)


@pytest.mark.parametrize(
    ("given", "told", "used"),
    [
        ("https://orch:8935", "https://127.0.0.1:8935/ai/trickle/x", "https://orch:8935/ai/trickle/x"),
        ("https://orch:8935", "http://localhost:80/a?b=c", "https://orch:8935/a?b=c"),
        ("https://orch:8935", "http://inside:80/ai/trickle/x", "http://inside:80/ai/trickle/x"),
        ("http://127.0.0.1:8935", "http://localhost:8935/x", "http://localhost:8935/x"),
    ],
)
async def test_anothers_loopback_is_replaced_by_the_address_that_works(
    http: aiohttp.ClientSession, given: str, told: str, used: str
) -> None:
    assert OrchestratorClient(http, given, TlsPolicy.verify()).reachable(told) == used
