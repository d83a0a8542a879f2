"""Where this room reaches into aiortc, each time in one object and never in a global of the library.

- The receiver hands a frame on only when the next frame's first packet is there; RTP's marker bit says so a whole
  frame interval earlier (33 ms at 30 fps).
- The sender has no hook for a viewer's request of a key frame when it sends frames that are encoded already.
- The sender tells nobody by how much its RTP timestamps are ahead of the frames' PTS, which a browser needs to know
  which frame it shows.

With a version that the tests have not seen, all three are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import aiortc
from aiortc.jitterbuffer import JitterBuffer, JitterFrame

log = logging.getLogger(__name__)

TESTED_VERSIONS = ("1.16.0",)
"""Of aiortc. What reaches into it is left out with any other version: it works, only slower."""

_RECEIVERS_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_SENDERS_STAMP = "_RTCRtpSender__rtp_timestamp"
_CAPACITY_PACKETS = 512


class MarkerJitterBuffer(JitterBuffer):
    """Gives a video frame as soon as its last packet is there, by RTP's marker bit."""

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        packets: list[Any] = []
        for count in range(self.capacity):
            packet = self._packets[((self._origin or 0) + count) % self.capacity]
            if packet is None or (packets and packet.timestamp != packets[0].timestamp):
                break
            packets.append(packet)
            if packet.marker:
                self.remove(len(packets))
                return JitterFrame(b"".join(p._data for p in packets), packet.timestamp)  # noqa: SLF001
        frame: JitterFrame | None = super()._remove_frame(sequence_number)
        return frame


def is_tested() -> bool:
    """Whether the tests have seen this version of aiortc."""
    return aiortc.__version__ in TESTED_VERSIONS


def release_on_marker(receiver: Any) -> bool:
    """Make one video receiver give frames at their marker bit.

    :returns: False: this version is not known, and gives them a frame interval later
    """
    if not is_tested() or not hasattr(receiver, _RECEIVERS_BUFFER):
        log.info("aiortc %s is not one of %s: frames wait for the next", aiortc.__version__, TESTED_VERSIONS)
        return False
    setattr(receiver, _RECEIVERS_BUFFER, MarkerJitterBuffer(capacity=_CAPACITY_PACKETS, is_video=True))
    return True


def on_key_frame_wanted(sender: Any, callback: Callable[[], None]) -> bool:
    """Call `callback` when the other side asks for a key frame (PLI, FIR).

    :returns: False: this version is not known; viewers wait for the next regular key frame
    """
    if not is_tested() or not hasattr(sender, "_send_keyframe"):
        return False
    sender._send_keyframe = callback  # noqa: SLF001
    return True


def rtp_origin(sender: Any, sent_pts: int | None) -> int | None:
    """Tell what is added to a PTS to make an RTP timestamp, modulo 2**32.

    :param sent_pts: of the frame that was given to the sender last, before this call
    :returns: None: nothing was sent yet, or this version is not known
    """
    stamp = getattr(sender, _SENDERS_STAMP, 0) if is_tested() else 0
    return (stamp - sent_pts) % (1 << 32) if stamp and sent_pts is not None else None
