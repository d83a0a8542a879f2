"""Runs pipelines in worker processes: spawn, load, frames, parameters, heartbeat, restart, orderly end.

The runner's side of the wall. Everything here runs on one event loop, except what is marked thread-safe.
"""

from __future__ import annotations

from ._errors import ParamsRejected, WorkerFailed
from ._events import (
    Failed,
    LogLine,
    ParamsApplied,
    ParamsTakenBack,
    PipelineReported,
    Ready,
    Reloaded,
    Reloading,
    Restarted,
    WorkerEvent,
    WorkerInfo,
    WorkerState,
)
from ._options import SupervisorOptions, WorkerSpec
from ._session import InputSlot, SessionCounters, Stamps, WorkerOutput, WorkerSession
from ._supervisor import Supervisor

__all__ = [
    "Failed",
    "InputSlot",
    "LogLine",
    "ParamsApplied",
    "ParamsRejected",
    "ParamsTakenBack",
    "PipelineReported",
    "Ready",
    "Reloaded",
    "Reloading",
    "Restarted",
    "SessionCounters",
    "Stamps",
    "Supervisor",
    "SupervisorOptions",
    "WorkerEvent",
    "WorkerFailed",
    "WorkerInfo",
    "WorkerOutput",
    "WorkerSession",
    "WorkerSpec",
    "WorkerState",
]
