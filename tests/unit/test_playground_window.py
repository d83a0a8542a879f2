"""How many messages may be on the wire: more on a long way, fewer when they queue."""

from __future__ import annotations

import pytest

from ai_runner_base.stream._window import LEAST, MOST, Window

pytestmark = pytest.mark.unit


def _exchange(window: Window, now_s: float, took_s: float) -> None:
    """Send as much as there is room for, then get all of it answered."""
    asked = 0
    while window.room:
        window.sent(now_s)
        asked += 1
    for _ in range(asked):
        window.answered(now_s + took_s)


def test_window_opens_while_answers_are_as_fast_as_ever() -> None:
    window = Window()
    for i in range(20):
        _exchange(window, i * 1.0, 0.100)
    assert window.limit == MOST


def test_window_closes_when_answers_take_longer_and_opens_again() -> None:
    window = Window()
    for i in range(20):
        _exchange(window, i * 1.0, 0.020)
    for i in range(20, 24):
        _exchange(window, i * 1.0, 0.400)
    assert window.limit == LEAST
    for i in range(24, 60):
        _exchange(window, i * 1.0, 0.020)
    assert window.limit == MOST


def test_a_way_that_has_become_longer_for_good_is_accepted() -> None:
    window = Window()
    _exchange(window, 0.0, 0.010)
    for i in range(1, 500):
        _exchange(window, i * 1.0, 0.200)
    assert window.limit > LEAST


def test_answer_to_nothing_changes_nothing() -> None:
    window = Window()
    assert window.answered(1.0) is None
    assert (window.limit, window.in_flight, window.room) == (2, 0, True)
