"""Channels in logs and errors: enough to tell them apart, not enough to read or write them."""

from __future__ import annotations

import pytest

from ai_runner_base.trickle import short_url

pytestmark = pytest.mark.unit

SESSION = "6f1d0c2a9b7e4f3388aa"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://orch.example:8935/ai/trickle/{SESSION}-out", "https://orch.example:8935/…aa-out"),
        (f"http://10.0.0.7/ai/trickle/{SESSION}-events/", "http://10.0.0.7/…events"),
        (f"http://user:secret@[::1]:80/{SESSION}?token=secret#x", "http://[::1]/…3388aa"),
        ("http://127.0.0.1:8000/in", "http://127.0.0.1:8000/in"),
        ("whip:", "whip:"),
    ],
)
def test_of_a_url_remain_its_server_and_the_end_of_its_name(url: str, shown: str) -> None:
    assert short_url(url) == shown
    assert SESSION not in short_url(url)
    assert "secret" not in short_url(url)
