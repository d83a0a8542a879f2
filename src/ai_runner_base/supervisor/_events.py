"""What a supervisor tells: its state, facts about the worker, and events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RunnerError


class WorkerState(enum.Enum):
    """Where the worker is in its life."""

    STOPPED = "stopped"
    """Not started, or closed."""
    STARTING = "starting"
    """The interpreter starts."""
    LOADING = "loading"
    """The pipeline is imported and initialized."""
    READY = "ready"
    RELOADING = "reloading"
    """Ready, but busy with a long change of parameters."""
    RESTARTING = "restarting"
    """The last worker is gone, the next one not yet spawned."""
    FAILED = "failed"
    """The restart budget is spent, or a restart could not help. `Supervisor.start` tries again."""


@dataclass(frozen=True)
class WorkerInfo:
    """Facts about a worker that is ready.

    :param pid: process id, also its process group
    :param package_version: of ai-runner-base in the worker's environment
    :param params_schema: JSON schema of the parameters
    :param params: in force when it became ready
    :param output_size: (width, height) by the parameters in force; None: frames come out as they come
    :param capabilities: ``sync`` (one function, in a thread) or ``async`` (the full interface)
    :param load_s: seconds from spawn to ready
    :param initialize_error: why the wanted parameters could not be loaded and the defaults are in force;
        mostly empty
    """

    pid: int
    package_version: str
    python_version: str
    params_schema: Mapping[str, Any]
    default_params: Mapping[str, Any]
    params: Mapping[str, Any]
    output_size: tuple[int, int] | None
    capabilities: frozenset[str]
    load_s: float
    initialize_error: str = ""


@dataclass(frozen=True)
class ParamsApplied:
    """Answer to `Supervisor.update_params`.

    :param from_seq: every frame with this `WorkerOutput.seq` or a later one sees the new parameters
    :param params: complete, with the class's defaults filled in
    :param reloading: a long reload has begun; the event `Reloaded` ends it
    """

    from_seq: int
    params: Mapping[str, Any]
    output_size: tuple[int, int] | None
    reloading: bool


@dataclass(frozen=True)
class Ready:
    """The worker takes frames: after the first load and after every restart."""

    info: WorkerInfo


@dataclass(frozen=True)
class Restarted:
    """The worker is gone and a new one is on its way.

    :param reason: a sentence for people
    :param log_tail: the last lines that the old one wrote
    :param restart_count: over the supervisor's life, this one included
    """

    reason: str
    log_tail: tuple[str, ...]
    restart_count: int


@dataclass(frozen=True)
class ParamsTakenBack:
    """Workers died of these parameters, one after the other: the next one gets others. `Ready` tells which.

    :param params: what was taken back
    :param instead: what the next worker begins with; None: the pipeline's own
    """

    params: Mapping[str, Any]
    instead: Mapping[str, Any] | None


@dataclass(frozen=True)
class Failed:
    """The worker is gone for good: `Supervisor.start` has to be called again."""

    error: RunnerError


@dataclass(frozen=True)
class PipelineReported:
    """The pipeline raised, or logged with ``extra={"report_error": True}``. The stream goes on.

    :param seq: frame it happened with; 0 when it was none
    :param suppressed: reports that were left out since the last one
    """

    message: str
    traceback: str = ""
    seq: int = 0
    suppressed: int = 0


@dataclass(frozen=True)
class LogLine:
    """One line of the worker's output; it is logged already.

    :param level: as in `logging`; INFO for what was only printed
    :param logger: the logger's name in the worker; empty for what was only printed
    """

    level: int
    logger: str
    text: str


@dataclass(frozen=True)
class Reloading:
    """A long change of parameters has begun.

    :param takes_frames: false: nobody takes frames until `Reloaded`, a waiting picture is wanted
    """

    takes_frames: bool


@dataclass(frozen=True)
class Reloaded:
    """The long change of parameters has succeeded. (When it fails, the worker is restarted.)"""


WorkerEvent = Ready | Restarted | ParamsTakenBack | Failed | PipelineReported | LogLine | Reloading | Reloaded
