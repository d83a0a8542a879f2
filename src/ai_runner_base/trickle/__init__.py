"""The trickle protocol: numbered segments over HTTP that are read while they are written.

`TrickleServer` serves channels, over HTTP and to this process; `Subscriber` and `Publisher` are the two ends
over HTTP, `JsonSubscriber` and `JsonPublisher` the same for one JSON object per segment.
"""

from ai_runner_base.trickle.channel import Limits
from ai_runner_base.trickle.http import client_session
from ai_runner_base.trickle.interface import ChannelReader, ChannelWriter, SegmentReader, SegmentWriter
from ai_runner_base.trickle.json_channel import JsonPublisher, JsonSubscriber
from ai_runner_base.trickle.local import LocalPublisher, LocalSubscriber
from ai_runner_base.trickle.options import ClientOptions, TlsPolicy
from ai_runner_base.trickle.protocol import BASE_PATH, CURRENT, NEXT
from ai_runner_base.trickle.publisher import ChannelEndedError, Publisher
from ai_runner_base.trickle.routes import ServerOptions
from ai_runner_base.trickle.server import ChannelInfo, TrickleServer
from ai_runner_base.trickle.subscriber import Subscriber

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
]
