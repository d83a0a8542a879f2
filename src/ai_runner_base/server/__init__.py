"""The HTTP application around a runner."""

from .app import ServerOptions, api_routes, create_app
from .live_runner import LiveRunner, LiveRunnerOptions, OrchestratorPeer

__all__ = [
    "LiveRunner",
    "LiveRunnerOptions",
    "OrchestratorPeer",
    "ServerOptions",
    "api_routes",
    "create_app",
]
