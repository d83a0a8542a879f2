"""Channels to solve against: builds recipes, mirrors what they need from a Python index, indexes both."""

from __future__ import annotations

from . import names, versions
from ._protocols import Plan, Reporter, Silent, Step

__all__ = ["Plan", "Reporter", "Silent", "Step", "names", "versions"]
