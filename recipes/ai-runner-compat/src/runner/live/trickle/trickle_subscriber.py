"""The reading end of a channel."""

from ai_runner_compat.trickle import Segment, TrickleSubscriber

__all__ = ["Segment", "TrickleSubscriber"]
