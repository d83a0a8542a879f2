"""When a registration speaks, with which secret and under which id: in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_runner_base.orchestrator import Ask, Lease, LeaseState, Reply, Timing

pytestmark = pytest.mark.unit

TIMING = Timing(backoff_first_s=1, backoff_max_s=30, refused_s=60, interval_min_s=0.5, interval_max_s=60)
FIRST = Reply("runner_a", interval_s=5, ttl_s=20, heartbeat_secret="hb-1")
NEXT = Reply("runner_a", interval_s=5, ttl_s=20)


def lease(random: float = 1.0) -> Lease:
    return Lease("bootstrap", TIMING, lambda: random)


def registered(now_s: float = 100.0) -> Lease:
    one = lease()
    one.ask(now_s)
    one.accepted(FIRST, now_s)
    return one


def test_it_is_due_at_once_and_begins_with_the_bootstrap_secret_and_no_id() -> None:
    one = lease()
    assert one.due_s < 0
    assert one.ask(0) == Ask("bootstrap", "", registers=True)


def test_a_registration_goes_on_with_its_own_secret_at_the_orchestrators_pace() -> None:
    one = registered(100)
    assert one.state is LeaseState.REGISTERED
    assert one.due_s == 105
    assert one.ask(105) == Ask("hb-1", "runner_a", registers=False)
    one.accepted(NEXT, 106.5)
    assert one.due_s == 110, "the interval counts from the question, not from a slow answer"
    assert one.valid_until_s == 125


def test_a_new_secret_replaces_the_old_one() -> None:
    one = registered(100)
    one.ask(105)
    one.accepted(Reply("runner_a", interval_s=5, ttl_s=20, heartbeat_secret="hb-2"), 105)
    assert one.ask(110).secret == "hb-2"


@pytest.mark.parametrize(
    ("interval_s", "ttl_s", "due_in_s"),
    [(5, 20, 5), (30, 20, 10), (0.001, 20, 0.5), (3600, 7200, 60)],
)
def test_the_interval_stays_within_the_ttl_and_our_limits(
    interval_s: float, ttl_s: float, due_in_s: float
) -> None:
    one = lease()
    one.ask(0)
    one.accepted(Reply("r", interval_s=interval_s, ttl_s=ttl_s, heartbeat_secret="h"), 0)
    assert one.due_s == pytest.approx(due_in_s)


@pytest.mark.parametrize("status", [401, 404])
def test_a_forgotten_runner_registers_again_at_once_under_its_old_id(status: int) -> None:
    one = registered(100)
    ask = one.ask(105)
    one.refused(ask, status, "who?", 105)
    assert (one.state, one.due_s) == (LeaseState.REGISTERING, 105)
    assert one.ask(105) == Ask("bootstrap", "runner_a", registers=True)


@pytest.mark.parametrize("status", [401, 404])
def test_an_id_that_is_refused_is_given_up_at_once(status: int) -> None:
    one = registered(100)
    one.refused(one.ask(105), 404, "", 105)
    one.refused(one.ask(105), status, "", 105)
    assert one.due_s == 105
    assert one.ask(105) == Ask("bootstrap", "", registers=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 301])
def test_a_refusal_that_time_does_not_cure_is_repeated_slowly(status: int) -> None:
    one = lease(random=1.0)
    one.refused(one.ask(0), status, "no", 0)
    assert (one.state, one.due_s, one.last_error) == (LeaseState.REFUSED, 60, "no")
    one.refused(one.ask(60), status, "no", 60)
    assert one.due_s == 120
    one.ask(120)
    one.accepted(FIRST, 120)
    assert (one.state, one.last_error) == (LeaseState.REGISTERED, "")


def test_failures_back_off_doubling_up_to_the_limit_and_begin_anew_after_success() -> None:
    one, now, gaps = lease(), 0.0, []
    for _ in range(8):
        one.ask(now)
        one.unreachable("away", now)
        gaps.append(one.due_s - now)
        now = one.due_s
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30]
    one.ask(now)
    one.accepted(FIRST, now)
    one.refused(one.ask(now), 503, "", now)
    assert one.due_s - now == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 400, 403])
def test_an_error_while_registered_keeps_the_lease_until_it_runs_out(status: int) -> None:
    one = registered(100)
    one.refused(one.ask(105), status, "ill", 105)
    assert one.state is LeaseState.REGISTERED
    assert one.due_s == 106
    assert not one.expire(119.9)
    assert one.expire(120)
    assert one.state is LeaseState.REGISTERING
    assert one.ask(120) == Ask("bootstrap", "runner_a", registers=True)
    assert not one.expire(130), "it is lost only once"


def test_a_nudge_brings_the_heartbeat_forward_but_not_without_limit() -> None:
    one = registered(100)
    one.nudge(100.1)
    assert one.due_s == 100.5
    one.nudge(102)
    assert one.due_s == 100.5
    one.ask(102)
    one.accepted(NEXT, 102)
    one.nudge(104)
    assert one.due_s == 104


def test_a_nudge_does_not_hurry_a_backoff_or_a_refusal() -> None:
    one = registered(100)
    one.ask(105)
    one.unreachable("", 105)
    due_s = one.due_s
    one.nudge(105)
    assert one.due_s == due_s
    other = lease()
    other.refused(other.ask(0), 401, "", 0)
    other.nudge(1)
    assert other.due_s == 60


@given(st.floats(0, 0.999), st.integers(1, 40))
def test_jitter_spreads_every_wait_between_half_and_whole(random: float, failures: int) -> None:
    one, whole = lease(random), lease(1.0)
    for subject in (one, whole):
        for _ in range(failures):
            subject.ask(0)
            subject.unreachable("", 0)
    assert whole.due_s / 2 <= one.due_s <= whole.due_s <= 30


_EVENTS = st.one_of(
    st.sampled_from([200, 201, 400, 401, 404, 429, 500, 0]),
    st.just("nudge"),
    st.just("expire"),
)


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 30)), max_size=60), st.floats(0, 0.999))
def test_whatever_happens_the_secrets_go_where_they_belong_and_the_pace_is_bounded(
    events: list[tuple[int | str, float]], random: float
) -> None:
    one, now = lease(random), 0.0
    immediate = 0
    for event, passed_s in events:
        now = max(now + passed_s, one.due_s if event not in ("nudge", "expire") else 0.0)
        match event:
            case "nudge":
                one.nudge(now)
                continue
            case "expire":
                one.expire(now)
                continue
        ask = one.ask(now)
        assert ask.registers == (ask.secret == "bootstrap")
        assert ask.registers or one.state is LeaseState.REGISTERED
        if event in (200, 201):
            one.accepted(FIRST if ask.registers else NEXT, now)
        elif event == 0:
            one.unreachable("", now)
        else:
            one.refused(ask, int(event), "", now)
        immediate = immediate + 1 if one.due_s <= now else 0
        assert immediate <= 2, "at most: forgotten, then the id is given up"
        assert one.due_s - now <= 60


def test_secrets_are_not_shown() -> None:
    one = registered(100)
    assert "hb-1" not in repr(FIRST)
    assert "hb-1" not in repr(one.ask(105))
