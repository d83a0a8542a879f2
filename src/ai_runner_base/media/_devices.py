"""Decoding on a GPU or codec chip: what FFmpeg calls it, and which one works on this host (`_trial`)."""

from __future__ import annotations

import logging
import threading

from av.codec import Codec
from av.codec.hwaccel import hwdevices_available

from ai_runner_base.media._trial import NVIDIA_NODES, RENDER_NODES, CodecProbe, require, try_hardware
from ai_runner_base.media._video import SOFTWARE

logger = logging.getLogger(__name__)

AUTO = "auto"
DEVICES = {"cuda": NVIDIA_NODES, "vaapi": RENDER_NODES, "videotoolbox": ()}
"""FFmpeg's device types in the order of preference (NVDEC is ``cuda``), and what is in ``/dev`` where there is one."""


def list_video_decoders() -> list[CodecProbe]:
    """Every way of this FFmpeg to decode H.264, software first. Takes seconds where there is a device."""
    devices = [device for device in DEVICES if device in hwdevices_available() and _decodes_h264(device)]
    tried = [try_hardware("decode_on", device, DEVICES[device]) for device in devices]
    return [CodecProbe(SOFTWARE, hardware=False, usable=True), *tried]


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
    return require(wanted, probes, "decoder")


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
