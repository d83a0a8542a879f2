"""What happened to a stream and when: the ages that the state table asks for, the times that reports tell."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._meters import FpsMeter
from .events import now_ms
from .state import Snapshot, StreamState

_SETTLE_S = 2.0
"""A fresh load is given this long before its age counts (contract 2.3)."""


class Record:
    """Moments in monotonic seconds, None where it never happened. On the event loop."""

    def __init__(self) -> None:
        self.state = StreamState.LOADING
        self.state_ms = self.start_ms = now_ms()
        self.started_s = self.loaded_s = time.monotonic()
        self.params_s: float | None = None
        self.tried_s: float | None = None
        """When parameters changed last after which output has yet to come."""
        self.error_s: float | None = None
        self.restart_s: float | None = None
        self.replaced_s: float | None = None
        self.last_error: str | None = None
        self.restart_logs: list[str] | None = None

    def enter(self, state: StreamState) -> None:
        """Note a new state."""
        self.state, self.state_ms = state, now_ms()

    def loaded(self) -> None:
        """Note that the worker is ready."""
        self.loaded_s = time.monotonic()

    def params_changed(self, last_output_s: float | None) -> None:
        """Note that parameters were applied.

        The pipeline is given time to show something with them, as after a load; but who changes them again and again
        must not thereby keep a worker from which nothing comes.

        :param last_output_s: when a frame came from the pipeline last
        """
        self.params_s = time.monotonic()
        if last_output_s is not None and last_output_s > max(self.loaded_s, self.tried_s or 0.0):
            self.tried_s = self.params_s

    def failed(self, message: str) -> None:
        """Note an error."""
        self.error_s, self.last_error = time.monotonic(), message

    def restarted(self, logs: Sequence[str]) -> None:
        """Note that the worker was restarted, with the last lines of the old one."""
        self.restart_s = self.loaded_s = time.monotonic()
        self.restart_logs = list(logs)

    def replaced(self) -> None:
        """Note that a worker was replaced because nothing came from it."""
        self.replaced_s = time.monotonic()

    def snapshot(
        self, *, worker_failed: bool, worker_ready: bool, taken: FpsMeter, given: FpsMeter
    ) -> Snapshot:
        """Return what the state table looks at."""
        now_s = time.monotonic()

        def age_s(moment_s: float | None) -> float | None:
            return None if moment_s is None else now_s - moment_s

        return Snapshot(
            streaming=True,
            worker_failed=worker_failed,
            worker_ready=worker_ready,
            since_load_s=max(0.0, now_s - max(self.loaded_s, self.tried_s or 0.0) - _SETTLE_S),
            since_input_s=now_s - (self.started_s if taken.last_s is None else taken.last_s),
            since_output_s=age_s(given.last_s),
            since_error_s=age_s(self.error_s),
            since_restart_s=age_s(self.restart_s),
            since_replaced_s=age_s(self.replaced_s),
            input_fps=taken.fps(now_s),
            output_fps=given.fps(now_s),
            previous=self.state,
        )

    def report(
        self, taken: FpsMeter, given: FpsMeter, params: Mapping[str, Any], restart_count: int
    ) -> dict[str, Any]:
        """Return times in milliseconds since the epoch, as the network's status has them (contract 2.2)."""
        now_s, now = time.monotonic(), now_ms()

        def epoch_ms(moment_s: float | None) -> int | None:
            return None if moment_s is None else now - round((now_s - moment_s) * 1000)

        return {
            "start_time": self.start_ms,
            "state": str(self.state),
            "last_state_update_time": self.state_ms,
            "input_status": {
                "last_input_time": epoch_ms(taken.last_s),
                "fps": round(taken.fps(now_s) or 0.0, 2),
            },
            "inference_status": {
                "last_output_time": epoch_ms(given.last_s),
                "fps": round(given.fps(now_s) or 0.0, 2),
                "last_params_update_time": epoch_ms(self.params_s),
                "last_params": dict(params),
                "last_params_hash": _hash(params),
                "last_error_time": epoch_ms(self.error_s),
                "last_error": self.last_error,
                "last_restart_time": epoch_ms(self.restart_s),
                "last_restart_logs": self.restart_logs,
                "restart_count": restart_count,
            },
        }


def _hash(params: Mapping[str, Any]) -> str:
    """Identify parameters as the network does: MD5 of the JSON with sorted keys; no secret hangs on it."""
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
