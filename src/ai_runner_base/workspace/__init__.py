"""What `pixi.toml` says, made real: read, solve, install, run tasks. Knows nothing of the live side."""

from __future__ import annotations

from ._protocols import Provider, Reporter, SourcePlan, Step, Variant

__all__ = ["Provider", "Reporter", "SourcePlan", "Step", "Variant"]
