"""When to say what to an orchestrator: registering, beating, backing off. A pure state machine; time is an argument.

Three rules come from go-livepeer's registry (ai/runner/live_runner.go) rather than from its documentation:

- An orchestrator that restarted knows neither the runner nor its heartbeat secret, and answers **401**, not 404. So a
  401 to the heartbeat secret means "register again"; only a 401 to the bootstrap secret means that it is wrong.
- A runner that registers again asks for its old id, since clients keep the public URL made of it for many minutes.
- That id may be refused, with 401 or 404, while the orchestrator still keeps an expired entry under it. Then it is
  given up at once, rather than being away until the entry is swept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from .messages import Reply

GONE: Final = 404
UNAUTHORIZED: Final = 401
TOO_MANY: Final = 429


class LeaseState(StrEnum):
    """Where a registration stands."""

    REGISTERING = "registering"
    """Not known to the orchestrator yet, or not any more."""
    REGISTERED = "registered"
    REFUSED = "refused"
    """The orchestrator said no for a reason that time does not cure; asked again now and then."""


@dataclass(frozen=True)
class Timing:
    """Limits of a lease. Seconds.

    :param backoff_first_s: after the first failure; doubled up to `backoff_max_s`, and spread by half
    :param refused_s: between attempts after a refusal
    :param interval_min_s: the shortest interval that a reply can set, and least distance of early heartbeats
    :param interval_max_s: the longest
    :param request_timeout_s: for one heartbeat
    """

    backoff_first_s: float = 1.0
    backoff_max_s: float = 30.0
    refused_s: float = 60.0
    interval_min_s: float = 0.5
    interval_max_s: float = 60.0
    request_timeout_s: float = 5.0


@dataclass(frozen=True)
class Ask:
    """One heartbeat to send.

    :param registers: it carries the bootstrap secret
    """

    secret: str = field(repr=False)
    runner_id: str
    registers: bool


class Lease:
    """What one registration knows about its standing.

    :param secret: the bootstrap secret
    :param random: gives [0, 1), for jitter
    """

    def __init__(self, secret: str, timing: Timing, random: Callable[[], float]) -> None:
        self.state = LeaseState.REGISTERING
        self.runner_id = ""
        self.due_s = float("-inf")
        """When the next heartbeat is to be sent."""
        self.valid_until_s = float("-inf")
        """From then on the orchestrator has forgotten us."""
        self.last_error = ""
        self.failures = 0
        self._bootstrap, self._heartbeat_secret = secret, ""
        self._timing, self._random = timing, random
        self._asked_s = float("-inf")

    @property
    def heartbeat_secret(self) -> str:
        """The secret of this registration, empty without one."""
        return self._heartbeat_secret

    def ask(self, now_s: float) -> Ask:
        """Return the heartbeat to send now."""
        self._asked_s = now_s
        return Ask(self._heartbeat_secret or self._bootstrap, self.runner_id, not self._heartbeat_secret)

    def accepted(self, reply: Reply, now_s: float) -> None:
        """Take an answer to the last heartbeat. The lease counts from when that was sent."""
        self.state, self.last_error, self.failures = LeaseState.REGISTERED, "", 0
        self.runner_id = reply.runner_id
        self._heartbeat_secret = reply.heartbeat_secret or self._heartbeat_secret
        self.valid_until_s = self._asked_s + reply.ttl_s
        timing = self._timing
        interval_s = min(reply.interval_s, reply.ttl_s / 2, timing.interval_max_s)
        self.due_s = max(self._asked_s + interval_s * (0.9 + 0.1 * self._random()), now_s)
        self.due_s = max(self.due_s, self._asked_s + timing.interval_min_s)

    def refused(self, ask: Ask, status: int, message: str, now_s: float) -> None:
        """Take an HTTP error as the answer to `ask`."""
        self.last_error = message
        if status in (GONE, UNAUTHORIZED):
            self._unknown(ask, now_s)
        elif status >= 500 or status == TOO_MANY or not ask.registers:
            self._back_off(now_s)
        else:
            self._give_up(now_s)

    def unreachable(self, message: str, now_s: float) -> None:
        """Note that there was no answer, or none that makes sense."""
        self.last_error = message
        self._back_off(now_s)

    def nudge(self, now_s: float) -> None:
        """Ask for a heartbeat soon, because the offer changed; never sooner than allowed, and not while failing."""
        if self.state is LeaseState.REGISTERED and not self.failures:
            self.due_s = min(self.due_s, max(now_s, self._asked_s + self._timing.interval_min_s))

    def expire(self, now_s: float) -> bool:
        """Give the lease up once the orchestrator must have: True the first time."""
        if self.state is not LeaseState.REGISTERED or now_s < self.valid_until_s:
            return False
        self.state, self._heartbeat_secret = LeaseState.REGISTERING, ""
        return True

    # --- what follows from a no -------------------------------------------------------------------------------------

    def _unknown(self, ask: Ask, now_s: float) -> None:
        self._heartbeat_secret = ""
        if not ask.registers:
            self.state, self.due_s = LeaseState.REGISTERING, now_s
        elif ask.runner_id:
            self.runner_id, self.due_s = "", now_s
        else:
            self._give_up(now_s)

    def _give_up(self, now_s: float) -> None:
        self.state = LeaseState.REFUSED
        self.failures += 1
        self.due_s = now_s + self._timing.refused_s * self._spread()

    def _back_off(self, now_s: float) -> None:
        timing = self._timing
        delay_s = min(timing.backoff_first_s * 2.0 ** min(self.failures, 16), timing.backoff_max_s)
        self.failures += 1
        self.due_s = now_s + delay_s * self._spread()

    def _spread(self) -> float:
        """Return 0.5 to 1: a fleet that lost its orchestrator must not come back all at once."""
        return 0.5 + 0.5 * self._random()
