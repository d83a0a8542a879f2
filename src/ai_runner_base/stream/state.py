"""The state machine of a stream: one table of (condition, next state), first match wins.

The states, limits and their order are those that Livepeer's gateways and orchestrators act on (live runner contract,
upstream's process guardian). Differences on purpose: no rule knows a pipeline's name, a frame rate that is not known
yet is no reason to call a stream degraded, and a worker from which nothing comes is replaced before the stream is
given up.

This file knows no clock, no process and no socket; `Snapshot` carries everything.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class StreamState(enum.StrEnum):
    """What a stream (or a runner without one) is doing."""

    LOADING = "LOADING"
    """The worker starts, loads or reloads; frames bypass it."""
    ONLINE = "ONLINE"
    """Frames come back as they should."""
    DEGRADED_INPUT = "DEGRADED_INPUT"
    """The input is missing or too slow."""
    DEGRADED_INFERENCE = "DEGRADED_INFERENCE"
    """The pipeline is too slow, raised lately, or was restarted lately."""
    ERROR = "ERROR"
    """The stream is given up, so that its gateway can move it."""
    OFFLINE = "OFFLINE"
    """No stream."""


LOAD_LIMIT_S = 180.0
NO_INPUT_STOP_S = 60.0
NO_INPUT_ERROR_S = 90.0
REPLACE_AGAIN_S = 60.0
FIRST_OUTPUT_GRACE_S = 2.0
FIRST_OUTPUT_LIMIT_S = 10.0
OUTPUT_STALL_S = 5.0
RECENT_ERROR_S = 15.0
RECENT_RESTART_S = 60.0
STALE_S = 2.0
MIN_INPUT_FPS = 15.0


@dataclass(frozen=True)
class Snapshot:
    """A stream as seen at one moment; all ages in seconds, None where it never happened."""

    streaming: bool
    worker_failed: bool
    worker_ready: bool
    since_load_s: float
    """Since the latest of stream start, worker ready and a change of parameters with output before it, less two
    seconds, at least 0."""
    since_input_s: float
    """Since the last input frame, or since the start."""
    since_output_s: float | None
    """Since the last frame that the pipeline made; overlays do not count."""
    since_error_s: float | None = None
    since_restart_s: float | None = None
    since_replaced_s: float | None = None
    """Since this stream last had its worker replaced for want of output."""
    input_fps: float | None = None
    output_fps: float | None = None
    previous: StreamState | None = None


def _output_age(s: Snapshot) -> float:
    return float("inf") if s.since_output_s is None else s.since_output_s


def _nothing_since_load(s: Snapshot) -> bool:
    return _output_age(s) >= s.since_load_s


def _within(age_s: float | None, limit_s: float) -> bool:
    return age_s is not None and age_s < limit_s


def _below(fps: float | None, limit: float) -> bool:
    return fps is not None and fps < limit


def _stalled(s: Snapshot) -> bool:
    return _output_age(s) > s.since_input_s + 1 and _output_age(s) > OUTPUT_STALL_S


def _may_replace(s: Snapshot) -> bool:
    return not _within(s.since_replaced_s, REPLACE_AGAIN_S)


def _slow_output(s: Snapshot) -> bool:
    wanted = 10.0 if s.input_fps is None else min(10.0, 0.8 * s.input_fps)
    return _output_age(s) > STALE_S or _below(s.output_fps, wanted)


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    :param replaces_worker: the worker is of no use: end it, so that there is another one for this stream or the next
    """

    name: str
    when: Callable[[Snapshot], bool]
    then: StreamState
    replaces_worker: bool = False


_S = StreamState
RULES: tuple[Rule, ...] = (
    Rule("no stream", lambda s: not s.streaming and s.worker_ready, _S.OFFLINE),
    Rule("error stays", lambda s: s.streaming and s.previous is _S.ERROR, _S.ERROR),
    Rule("worker gave up", lambda s: s.worker_failed, _S.ERROR),
    Rule("loading too long", lambda s: not s.worker_ready and s.since_load_s > LOAD_LIMIT_S, _S.ERROR),
    Rule("loading", lambda s: not s.worker_ready, _S.LOADING),
    Rule("input gone", lambda s: s.since_input_s >= NO_INPUT_ERROR_S, _S.ERROR),
    Rule("input missing", lambda s: s.since_input_s > NO_INPUT_STOP_S, _S.DEGRADED_INPUT),
    Rule(
        "just started", lambda s: _nothing_since_load(s) and s.since_load_s < FIRST_OUTPUT_GRACE_S, _S.ONLINE
    ),
    Rule(
        "no input yet",
        lambda s: _nothing_since_load(s) and s.since_input_s > s.since_load_s,
        _S.DEGRADED_INPUT,
    ),
    Rule(
        "no output yet",
        lambda s: _nothing_since_load(s) and s.since_load_s < FIRST_OUTPUT_LIMIT_S,
        _S.DEGRADED_INFERENCE,
    ),
    Rule("no output at all", lambda s: _nothing_since_load(s) and _may_replace(s), _S.LOADING, True),
    Rule("never any output", _nothing_since_load, _S.ERROR, True),
    Rule("no output any more", lambda s: _stalled(s) and _may_replace(s), _S.LOADING, True),
    Rule("output stalled", _stalled, _S.ERROR, True),
    Rule("error lately", lambda s: _within(s.since_error_s, RECENT_ERROR_S), _S.DEGRADED_INFERENCE),
    Rule("restart lately", lambda s: _within(s.since_restart_s, RECENT_RESTART_S), _S.DEGRADED_INFERENCE),
    Rule("input stale", lambda s: s.since_input_s > STALE_S, _S.DEGRADED_INPUT),
    Rule("input slow", lambda s: _below(s.input_fps, MIN_INPUT_FPS), _S.DEGRADED_INPUT),
    Rule("output slow", _slow_output, _S.DEGRADED_INFERENCE),
    Rule("all well", lambda _s: True, _S.ONLINE),
)


def evaluate(snapshot: Snapshot) -> Rule:
    """Return the first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.when(snapshot))


HEALTH: dict[StreamState, str] = {
    _S.LOADING: "LOADING",
    _S.OFFLINE: "IDLE",
    _S.ONLINE: "OK",
    _S.DEGRADED_INPUT: "OK",
    _S.DEGRADED_INFERENCE: "OK",
    _S.ERROR: "ERROR",
}
"""The closed enum of ``GET /health`` (contract 1.4)."""
