"""Why a process ended, in words."""

from __future__ import annotations

import signal
from pathlib import Path

_SIGNALS = {
    signal.SIGSEGV: "a segmentation fault in native code",
    signal.SIGABRT: "native code gave up (abort)",
    signal.SIGBUS: "an access to memory that is not there",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGILL: "an instruction that this processor does not have",
    signal.SIGALRM: "its time was up",
}


def oom_kills() -> int:
    """How many processes this kernel has killed for want of memory; 0 where it does not say."""
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return 0
    counts = dict(line.split(" ", 1) for line in text.splitlines())
    return int(counts.get("oom_kill", 0))


def explain_exit(code: int, *, oom_kills_before: int, oom_kills_now: int) -> str:
    """An exit code as a sentence about the worker.

    :param code: as `subprocess` gives it: negative for a signal
    :param oom_kills_before: `oom_kills` when it started
    """
    if code >= 0:
        return f"the worker ended by itself with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGKILL:
        out_of_memory = oom_kills_now > oom_kills_before
        cause = "the kernel ran out of memory" if out_of_memory else "by somebody, or for want of memory"
        return f"the worker was killed ({name}): {cause}"
    meaning = _SIGNALS.get(signal.Signals(-code)) if name.startswith("SIG") else None
    return f"the worker crashed ({name}): {meaning}" if meaning else f"the worker was ended by {name}"
