"""A fake folder of ComfyUI, and a stand-in for torch where it is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKOUT = HERE / "checkout"
sys.path.append(str(HERE / "standin"))  # last: the real one wins


@pytest.fixture(autouse=True)
def comfyui(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The adapter finds the fake, anew in each test."""
    monkeypatch.setenv("COMFYUI_DIR", str(CHECKOUT))
    monkeypatch.delenv("COMFYUI_CUSTOM_NODES", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [
        name for name in sys.modules if name.partition(".")[0] in ("comfy", "execution", "nodes", "utils")
    ]:
        del sys.modules[name]
