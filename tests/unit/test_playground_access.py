"""Which pages may open a session."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ai_runner_base.server.access import check_origin, is_local_name, same_token

pytestmark = pytest.mark.unit


def _check(host: str, origin: str | None, *, has_token: bool = False) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    check_origin(make_mocked_request("GET", "/playground/session", headers=headers), has_token=has_token)


@pytest.mark.parametrize(
    ("host", "origin", "has_token"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("localhost:8000", "http://localhost:8000", False),
        ("[::1]:8000", "http://[::1]:8000", False),
        ("gpubox:8000", "http://GPUBOX:8000", False),
        ("gpubox.local", "http://gpubox.local", False),
        ("runner.example.org", "https://runner.example.org", True),
        ("127.0.0.1:8000", None, False),
    ],
)
def test_own_pages_are_let_in(host: str, origin: str | None, has_token: bool) -> None:
    _check(host, origin, has_token=has_token)


@pytest.mark.parametrize(
    ("host", "origin", "has_token"),
    [
        ("127.0.0.1:8000", "http://evil.example", False),
        ("127.0.0.1:8000", "http://127.0.0.1:9000", False),
        ("127.0.0.1:8000", "null", True),
        ("rebound.evil.example:8000", "http://rebound.evil.example:8000", False),
    ],
)
def test_pages_of_others_are_kept_out(host: str, origin: str, has_token: bool) -> None:
    with pytest.raises(web.HTTPForbidden):
        _check(host, origin, has_token=has_token)


@pytest.mark.parametrize(
    ("name", "local"), [("10.0.0.7", True), ("a.b", False), ("", False), ("x.localhost", True)]
)
def test_names_that_nobody_else_can_own(name: str, local: bool) -> None:
    assert is_local_name(name) is local


@pytest.mark.parametrize(
    ("given", "wanted", "same"),
    [
        ("a", "a", True),
        ("b", "a", False),
        ("", "a", False),
        (None, "a", False),
        ("ä", "ä", True),
        ("any", "", True),
    ],
)
def test_token_has_to_be_the_same(given: object, wanted: str, same: bool) -> None:
    assert same_token(given, wanted) is same
