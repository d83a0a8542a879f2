"""A node; importing it imports torch."""

from .pipeline import *  # noqa: F403
