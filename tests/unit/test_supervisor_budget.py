"""Restarts are spent, spaced and earned back; ends are explained in words."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.supervisor import SupervisorOptions
from ai_runner_base.supervisor._budget import RestartBudget
from ai_runner_base.supervisor._explain import explain_exit

pytestmark = pytest.mark.unit

OPTIONS = SupervisorOptions(restart_budget=5, backoff_first_s=0.5, backoff_max_s=3, restart_refill_s=60)


def test_the_first_restart_is_immediate_and_the_waits_double_up_to_a_limit() -> None:
    budget = RestartBudget(OPTIONS)
    assert [budget.spend() for _ in range(6)] == [0, 0.5, 1, 2, 3, None]


def test_good_behaviour_earns_restarts_back_and_resets_the_wait() -> None:
    budget = RestartBudget(OPTIONS)
    for _ in range(5):
        budget.spend()
    budget.earn(59)
    assert budget.spend() is None
    budget.earn(125)
    assert budget.left == 2
    assert [budget.spend() for _ in range(3)] == [0, 0.5, None]


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_there_is_never_more_than_the_budget(ready_s: list[float]) -> None:
    budget = RestartBudget(OPTIONS)
    for seconds in ready_s:
        budget.earn(seconds)
        delay_s = budget.spend()
        assert 0 <= budget.left <= OPTIONS.restart_budget
        assert delay_s is None or 0 <= delay_s <= OPTIONS.backoff_max_s


@pytest.mark.parametrize(
    ("code", "oom_kills_now", "words"),
    [
        (0, 0, "ended by itself with exit code 0"),
        (7, 0, "exit code 7"),
        (-signal.SIGSEGV, 0, "crashed (SIGSEGV): a segmentation fault in native code"),
        (-signal.SIGKILL, 0, "killed (SIGKILL): by somebody, or for want of memory"),
        (-signal.SIGKILL, 1, "killed (SIGKILL): the kernel ran out of memory"),
        (-signal.SIGTERM, 0, "ended by SIGTERM"),
        (-63, 0, "signal 63"),
    ],
)
def test_an_exit_code_is_explained(code: int, oom_kills_now: int, words: str) -> None:
    assert words in explain_exit(code, oom_kills_before=0, oom_kills_now=oom_kills_now)
