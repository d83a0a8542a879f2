"""What to run, and with which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class WorkerSpec:
    """One pipeline and the environment it lives in.

    :param prefix: its interpreter is ``prefix/bin/python``
    :param entry_point: ``module:attribute``
    :param name: the pipeline's name, for logs and messages
    :param package: the package that brings it
    :param version: that package's version
    :param env: the worker's **whole** environment, as `catalog.activation_environment` makes it; nothing is
        inherited from this process. Empty: only a ``PATH`` of the prefix and the system.
        Thread counts of numeric libraries are added where the environment does not set them.
    :param source: folder from which its modules are imported before what is installed, for one that is being written
    """

    prefix: Path
    entry_point: str
    name: str
    package: str = ""
    version: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    source: Path | None = None


@dataclass(frozen=True)
class SupervisorOptions:
    """Limits of one worker. The defaults suit a live stream on one machine."""

    load_timeout_s: float = 180.0
    """From spawn to ready, and for a reload; the upstream runner's limit."""
    ping_interval_s: float = 1.0
    ping_timeout_s: float = 10.0
    """No answer from the worker's control thread for this long: the interpreter hangs."""
    frame_timeout_s: float = 10.0
    """One frame, or one callback on the event loop, takes this long: the pipeline hangs."""
    params_timeout_s: float = 15.0
    """For the answer to `update_params`, waiting for a frame in progress included."""
    drain_timeout_s: float = 2.0
    """First rung of the closing ladder: the pipeline's own ``stop``."""
    terminate_timeout_s: float = 1.0
    """Second rung: SIGTERM. After it comes SIGKILL, to the whole process group."""
    slots: int = 4
    """Of each ring. One is written, one waits, two are with the other side."""
    max_frame_bytes: int = 3840 * 2160 * 3
    """Largest picture either way; slots are sparse, so an unused byte costs nothing."""
    lossless_credits: int = 2
    """Frames that a worker may ask for ahead when none may be dropped; live it is always one."""
    backoff_first_s: float = 0.5
    """Wait before the second restart in a row; the first is immediate."""
    backoff_max_s: float = 30.0
    """Each wait is twice the one before, up to this."""
    restart_budget: int = 5
    """Restarts that may be spent before the worker counts as failed."""
    restart_refill_s: float = 30.0
    """Ready for this long: one restart is earned back, and the backoff starts from the beginning."""
    params_probation_s: float = 30.0
    """Parameters are trusted after this time; of those that kill two workers within it, none gets them again.
    Longer than any of the timeouts by which a hanging worker is noticed."""
    log_tail_lines: int = 100
    """Last lines kept for restart events."""
