"""A fake checkout of scope, and stand-ins for torch and OmegaConf where they are not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE / "standin"))  # last: the real ones win


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The adapter finds the fake checkout, and no weights."""
    for name in ("SCOPE_PIPELINE", "MODEL_DIR", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCOPE_DIR", str(HERE / "checkout"))
    monkeypatch.setenv("DAYDREAM_SCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "models"
    for name in [name for name in sys.modules if name.partition(".")[0] == "scope"]:
        del sys.modules[name]
