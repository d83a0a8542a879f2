"""What a reader makes of an answer: the whole table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.trickle.answers import Decision, Step, decide
from ai_runner_base.trickle.protocol import CURRENT, NEXT, parse_seq

pytestmark = pytest.mark.unit


def answer(seq: object = None, latest: object = None, *, closed: bool = False) -> dict[str, str]:
    headers = {"Lp-Trickle-Seq": seq, "Lp-Trickle-Latest": latest, "Lp-Trickle-Closed": closed or None}
    return {name: str(value) for name, value in headers.items() if value is not None}


@pytest.mark.parametrize(
    ("status", "headers", "asked", "expected"),
    [
        (200, answer(5), 5, Decision(Step.READ, 5)),
        (200, answer(7, 9), CURRENT, Decision(Step.READ, 7)),
        (200, answer(5, closed=True), 5, Decision(Step.ENDED, 5)),
        (470, answer(5, 9, closed=True), 5, Decision(Step.ENDED, 5)),
        (404, {}, 5, Decision(Step.ENDED, 5)),
        (470, answer(5, 9), 5, Decision(Step.MOVE, 9)),
        (470, answer(5, 5), 5, Decision(Step.WAIT, 5)),
        (470, answer(9, 7), 9, Decision(Step.WAIT, 9)),
        (470, answer(9, 4), 9, Decision(Step.WAIT, 9)),
        (470, answer(9, 3), 9, Decision(Step.RESTARTED, CURRENT)),
        (470, answer(3, 7), NEXT, Decision(Step.MOVE, 7)),
        (470, answer(3), 3, Decision(Step.FAILED, 3)),
        (470, answer(3, "x"), 3, Decision(Step.FAILED, 3)),
        (470, answer(3, -4), 3, Decision(Step.FAILED, 3)),
        (200, {}, 3, Decision(Step.FAILED, 3)),
        (200, answer(-1), 3, Decision(Step.FAILED, 3)),
        (302, answer(3), 3, Decision(Step.FAILED, 3)),
        (500, {}, 3, Decision(Step.FAILED, 3)),
    ],
)
def test_decisions(status: int, headers: dict[str, str], asked: int, expected: Decision) -> None:
    assert decide(status, headers, asked) == expected


@given(
    status=st.sampled_from([200, 404, 470, 500]),
    seq=st.text(max_size=5),
    latest=st.one_of(st.integers(-10, 100), st.text(max_size=5)),
    asked=st.integers(-2, 50),
)
def test_no_header_makes_a_reader_go_back(status: int, seq: str, latest: object, asked: int) -> None:
    decision = decide(status, answer(seq, latest), asked)
    assert decision.step is not Step.MOVE or decision.seq > asked


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("-2", -2), ("+1", None), ("1_0", None), ("", None), ("٣", None), (" 1", None)],
)
def test_sequence_numbers_are_plain_decimals(text: str, value: int | None) -> None:
    assert parse_seq(text) == value
