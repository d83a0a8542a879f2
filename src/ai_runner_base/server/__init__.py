"""The HTTP application around a runner."""

from .app import ServerOptions, api_routes, create_app

__all__ = ["ServerOptions", "api_routes", "create_app"]
