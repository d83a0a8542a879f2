"""The HTTP application around a runner."""

from .app import api_routes, create_app
from .live_runner import LiveRunner, LiveRunnerOptions, OrchestratorPeer
from .options import ServerOptions

__all__ = [
    "LiveRunner",
    "LiveRunnerOptions",
    "OrchestratorPeer",
    "ServerOptions",
    "api_routes",
    "create_app",
]
