"""The writing end of a channel."""

from ai_runner_compat.trickle import SegmentWriter, TricklePublisher

__all__ = ["SegmentWriter", "TricklePublisher"]
