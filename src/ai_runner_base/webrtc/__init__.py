"""WebRTC peers behind WHIP (RFC 9725) and WHEP: one who publishes frames, one who plays encoded ones, and one
who does both.

aiortc is optional. It is imported when the first peer comes; without it `load` says what to install.
"""

from ._errors import NotAcceptableError, UnavailableError
from ._load import is_installed, load
from ._types import Coded, FrameSource, IceServer, PeerOptions, Sound

__all__ = [
    "Coded",
    "FrameSource",
    "IceServer",
    "NotAcceptableError",
    "PeerOptions",
    "Sound",
    "UnavailableError",
    "is_installed",
    "load",
]
