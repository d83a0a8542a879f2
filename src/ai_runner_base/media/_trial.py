"""Whether a codec works on this host: each driver is tried in a process of its own, which it may crash or hang."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ai_runner_base.errors import CallerError, HostError

PROBE_LIMIT_S = 15.0
"""A driver that has been asleep takes seconds to begin."""
NVIDIA_NODES, RENDER_NODES, CODEC_NODES = ("nvidiactl", "dxg"), ("dri/renderD*",), ("video*",)
"""What is in ``/dev`` where there is such a device (NVIDIA's is ``dxg`` under Windows)."""
_DEV = Path("/dev")


@dataclass(frozen=True, slots=True)
class CodecProbe:
    """One H.264 encoder of this FFmpeg, or one way to decode H.264.

    :param name: FFmpeg's name of the encoder or of the device type; ``software`` for decoding without a device
    :param hardware: it needs a GPU or a codec chip
    :param usable: it opened, or what it made of a clip is right
    :param reason: why it did not; empty when it did
    """

    name: str
    hardware: bool
    usable: bool
    reason: str = ""


def try_hardware(program: str, name: str, nodes: Sequence[str]) -> CodecProbe:
    """Let a program of this room try a driver.

    :param program: a module that ends with `tell`
    :param name: what it is to try
    :param nodes: patterns under ``/dev`` of which one must be there; empty: it is part of the system
    """
    reason = _absent(nodes) or _attempt([sys.executable, "-I", "-m", f"{__package__}.{program}", name])
    return CodecProbe(name, hardware=True, usable=not reason, reason=reason)


def tell(why_not: Callable[[str], str]) -> None:
    """Be such a program: print one JSON object with the ``reason`` why it is of no use (empty: it works)."""
    signal.alarm(round(PROBE_LIMIT_S))  # whoever asked may be gone
    sys.stdout.write(json.dumps({"reason": why_not(sys.argv[1])}) + "\n")


def require(wanted: str, probes: Sequence[CodecProbe], kind: str) -> str:
    """Return `wanted`, which a person has asked for by its name.

    :param kind: what it is one of, for messages
    :raises CallerError: FFmpeg does not have it
    :raises HostError: it does not work on this host
    """
    probe = next((probe for probe in probes if probe.name == wanted), None)
    if probe is None:
        raise CallerError(
            f"this FFmpeg has no H.264 {kind} {wanted!r}; it has {', '.join(p.name for p in probes)}",
            hint="choose one of these, or auto",
        )
    if not probe.usable:
        raise HostError(f"{kind} {wanted} does not work here: {probe.reason}", hint="choose auto or software")
    return wanted


def _absent(nodes: Sequence[str]) -> str:
    if not nodes or any(any(_DEV.glob(pattern)) for pattern in nodes):
        return ""
    return f"this host has no {' and no '.join(str(_DEV / pattern) for pattern in nodes)}"


def _attempt(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_LIMIT_S:g} s: its driver hangs"
    except OSError as error:
        return f"it could not be tried: {error}"
    return _reason(done)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Read what `tell` has printed."""
    if done.returncode < 0:
        return f"its driver crashed ({signal.Signals(-done.returncode).name})"
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["reason"])
    except (ValueError, LookupError):
        last = done.stderr.strip().splitlines()[-1:]
        return f"the attempt failed with exit code {done.returncode}: {''.join(last)}"
