"""The trickle protocol: numbered segments over HTTP that are read while they are written.

`TrickleServer` serves channels, over HTTP and to this process; `Subscriber` and `Publisher` are the two ends
over HTTP, `JsonSubscriber` and `JsonPublisher` the same for one JSON object per segment.
"""

from .channel import Limits
from .http import client_session, short_url
from .interface import ChannelReader, ChannelWriter, SegmentReader, SegmentWriter
from .json_channel import JsonPublisher, JsonSubscriber
from .local import LocalPublisher, LocalSubscriber
from .options import ClientOptions, TlsPolicy
from .protocol import BASE_PATH, CURRENT, NEXT
from .publisher import ChannelEndedError, Publisher
from .routes import ServerOptions
from .server import ChannelInfo, TrickleServer
from .subscriber import Subscriber

__all__ = [
    "BASE_PATH",
    "CURRENT",
    "NEXT",
    "ChannelEndedError",
    "ChannelInfo",
    "ChannelReader",
    "ChannelWriter",
    "ClientOptions",
    "JsonPublisher",
    "JsonSubscriber",
    "Limits",
    "LocalPublisher",
    "LocalSubscriber",
    "Publisher",
    "SegmentReader",
    "SegmentWriter",
    "ServerOptions",
    "Subscriber",
    "TlsPolicy",
    "TrickleServer",
    "client_session",
    "short_url",
]
