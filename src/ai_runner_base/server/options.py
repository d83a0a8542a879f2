"""What the application is told at its start, and the keys under which handlers find it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from ..stream import Runner
from ..webrtc import PeerOptions


@dataclass(frozen=True)
class ServerOptions:
    """Identity and access, read from flags and environment by the command line.

    :param pipeline: echoed by ``/version`` and ``/hardware/*``; must equal the orchestrator's configuration
    :param model_id: the same; empty: the name of the first pipeline that is served
    :param version: the same; orchestrators with a minimum version reject ``undefined``
    :param auth_token: when not empty, starting and changing streams needs ``Authorization: Bearer <it>``
    :param peers: how WebRTC connections are made
    """

    pipeline: str = "live-video-to-video"
    model_id: str = ""
    version: str = "undefined"
    auth_token: str = ""
    peers: PeerOptions = field(default_factory=PeerOptions)


RUNNER = web.AppKey("runner", Runner)
OPTIONS = web.AppKey("options", ServerOptions)
