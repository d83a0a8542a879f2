"""Parameters that workers die of are taken back; all others survive every accident. In virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.supervisor._params_memory import HARMLESS_S, ParamsMemory

pytestmark = pytest.mark.unit

PROBATION_S = 30.0
GOOD, BAD = {"prompt": "a cat"}, {"prompt": "kryptonite"}


def trusting_good() -> tuple[ParamsMemory, float]:
    memory = ParamsMemory(PROBATION_S)
    memory.applied(GOOD, 0.0)
    return memory, PROBATION_S


def test_one_death_is_an_accident_and_the_next_worker_gets_the_same() -> None:
    memory, now_s = trusting_good()
    memory.applied(BAD, now_s)
    assert memory.died(now_s + 1) is None
    assert memory.current == BAD


def test_two_deaths_within_the_probation_bring_the_trusted_ones_back() -> None:
    memory, now_s = trusting_good()
    memory.applied(BAD, now_s)
    memory.died(now_s + 1)
    memory.applied(BAD, now_s + 2)
    assert memory.died(now_s + 3) == BAD
    assert memory.current == GOOD


def test_what_has_lived_through_its_probation_is_never_taken_back() -> None:
    memory, now_s = trusting_good()
    for _ in range(5):
        memory.applied(GOOD, now_s)
        now_s += 1
        assert memory.died(now_s) is None
    assert memory.current == GOOD


def test_a_death_before_the_probations_end_does_not_count_against_later_parameters() -> None:
    memory, now_s = trusting_good()
    memory.applied(BAD, now_s)
    memory.died(now_s + 1)
    memory.applied(BAD, now_s + 2)
    memory.applied({"prompt": "a dog"}, now_s + 3)
    assert memory.died(now_s + 4) is None


def test_without_trusted_ones_the_pipelines_own_are_next() -> None:
    memory = ParamsMemory(PROBATION_S)
    memory.applied(BAD, 0.0)
    memory.died(1.0)
    memory.applied(BAD, 2.0)
    assert memory.died(3.0) == BAD
    assert memory.current is None


def test_a_worker_that_dies_while_it_loads_counts_as_well() -> None:
    memory, now_s = trusting_good()
    memory.applied(BAD, now_s)
    memory.died(now_s + 1)
    assert memory.died(now_s + 2) == BAD
    assert memory.current == GOOD


def test_what_was_replaced_in_good_health_is_what_to_come_back_to() -> None:
    memory = ParamsMemory(PROBATION_S)
    memory.applied(GOOD, 0.0)
    memory.applied(BAD, HARMLESS_S)
    memory.died(HARMLESS_S + 1)
    memory.applied(BAD, HARMLESS_S + 2)
    memory.died(HARMLESS_S + 3)
    assert memory.current == GOOD


def test_what_was_replaced_at_once_is_not_trusted() -> None:
    memory = ParamsMemory(PROBATION_S)
    memory.applied(GOOD, 0.0)
    memory.applied({"prompt": "kryptonit"}, 10.0)
    memory.applied(BAD, 10.1)
    memory.died(11.0)
    memory.died(12.0)
    assert memory.current == GOOD


def test_another_user_begins_with_nothing_of_the_last_ones() -> None:
    memory, now_s = trusting_good()
    memory.forget()
    assert memory.current is None
    memory.begin()
    memory.applied(BAD, now_s)
    memory.died(now_s + 1)
    memory.applied(BAD, now_s + 2)
    assert memory.died(now_s + 3) == BAD
    assert memory.current is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "bad", "died"]), st.floats(0, 2 * PROBATION_S)), max_size=40
)


@given(STEPS)
def test_only_parameters_in_force_are_ever_taken_back_and_never_into_themselves(
    steps: list[tuple[str, float]],
) -> None:
    memory, now_s = ParamsMemory(PROBATION_S), 0.0
    for what, passed_s in steps:
        now_s += passed_s
        before = memory.current
        if what == "died":
            taken_back = memory.died(now_s)
            assert taken_back in (None, before)
            assert taken_back is None or memory.current != taken_back
        else:
            memory.applied(GOOD if what == "good" else BAD, now_s)
            assert memory.current in (GOOD, BAD)
