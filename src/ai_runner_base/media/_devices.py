"""Decoding on a GPU or codec chip: what FFmpeg calls it, and which one works on this host.

A driver can crash or hang whoever asks it, so each one is tried in a process of its own, with a deadline.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

from av.codec import Codec
from av.codec.hwaccel import hwdevices_available

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.media._probe import CodecProbe
from ai_runner_base.media._video import SOFTWARE

logger = logging.getLogger(__name__)

AUTO = "auto"
DEVICES = {
    "cuda": ("nvidiactl", "dxg"),
    "vaapi": ("dri/renderD*",),
    "videotoolbox": (),
}
"""FFmpeg's device types in the order of preference, and what is in ``/dev`` where there is one (NVDEC's is ``cuda``,
``dxg`` under Windows); empty: part of the system that FFmpeg was built for."""
PROBE_LIMIT_S = 15.0
"""A driver that has been asleep takes seconds to begin."""
_DEV = Path("/dev")


def list_video_decoders() -> list[CodecProbe]:
    """Every way of this FFmpeg to decode H.264, software first. Takes seconds where there is a device."""
    devices = [device for device in DEVICES if device in hwdevices_available() and _decodes_h264(device)]
    return [CodecProbe(SOFTWARE, hardware=False, usable=True), *map(probe_device, devices)]


def probe_device(device: str) -> CodecProbe:
    """Decode a clip on a device, in a process that may die of it."""
    if not _is_present(device):
        return CodecProbe(device, hardware=True, usable=False, reason=_absent(device))
    argv = [sys.executable, "-I", "-m", "ai_runner_base.media.decode_on", device]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        reason = f"no answer within {PROBE_LIMIT_S:g} s: its driver hangs"
    except OSError as error:
        reason = f"it could not be tried: {error}"
    else:
        reason = _reason(done)
    return CodecProbe(device, hardware=True, usable=not reason, reason=reason)


def pick_live_decoder(wanted: str = AUTO) -> str:
    """Choose what decodes live streams by decoding a clip with it.

    :param wanted: ``auto``: a device where one works, else software; ``software``; or FFmpeg's name of a device type
    :returns: ``software`` or the device type
    :raises CallerError: a device that this FFmpeg does not know
    :raises HostError: it does not work on this host
    """
    if wanted == SOFTWARE:
        return SOFTWARE
    probes = list_video_decoders()
    if wanted == AUTO:
        return next((probe.name for probe in probes if probe.hardware and probe.usable), SOFTWARE)
    probe = next((probe for probe in probes if probe.name == wanted), None)
    if probe is None:
        raise CallerError(
            f"this FFmpeg decodes H.264 on no device {wanted!r}, only by {', '.join(p.name for p in probes)}",
            hint="choose one of these, or auto",
        )
    if not probe.usable:
        raise HostError(
            f"decoder {wanted} does not work here: {probe.reason}", hint="choose auto or software"
        )
    return wanted


class LiveDecoder:
    """What decodes live streams. ``auto`` looks for a device on a thread of its own: software until it is found.

    :param wanted: as for `pick_live_decoder`, which is called at once for anything but ``auto``
    :ivar device: ``software`` or the device type
    """

    def __init__(self, wanted: str = AUTO) -> None:
        self.device = SOFTWARE
        if wanted == AUTO:
            threading.Thread(target=self._look, name="probe-decoders", daemon=True).start()
        else:
            self.device = pick_live_decoder(wanted)

    def _look(self) -> None:
        self.device = pick_live_decoder()
        if self.device != SOFTWARE:
            logger.info("live streams are decoded on %s", self.device)


def _decodes_h264(device: str) -> bool:
    configs = Codec("h264", "r").hardware_configs
    return any(config.is_supported and config.device_type.name == device for config in configs)


def _is_present(device: str) -> bool:
    patterns = DEVICES[device]
    return not patterns or any(any(_DEV.glob(pattern)) for pattern in patterns)


def _absent(device: str) -> str:
    return f"this host has no {' and no '.join(str(_DEV / pattern) for pattern in DEVICES[device])}"


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Read the answer of `decode_on`; empty: it works."""
    if done.returncode < 0:
        return f"its driver crashed ({signal.Signals(-done.returncode).name})"
    try:
        return str(json.loads(done.stdout.splitlines()[-1])["reason"])
    except (ValueError, LookupError):
        last = done.stderr.strip().splitlines()[-1:]
        return f"the attempt failed with exit code {done.returncode}: {''.join(last)}"
