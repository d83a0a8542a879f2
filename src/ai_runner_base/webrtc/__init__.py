"""WebRTC peers behind WHIP (RFC 9725) and WHEP: one who publishes frames, one who plays encoded ones.

aiortc is optional. It is imported when the first peer comes; without it `load` says what to install.
"""

from ._support import NotAcceptableError, UnavailableError, load
from ._types import Coded, FrameSource, IceServer, PeerOptions

__all__ = [
    "Coded",
    "FrameSource",
    "IceServer",
    "NotAcceptableError",
    "PeerOptions",
    "UnavailableError",
    "load",
]
