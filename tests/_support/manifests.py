"""Little manifests and hosts for tests of the workspace room."""

from __future__ import annotations

from pathlib import Path

from ai_runner_base.workspace import Host, Manifest, read_manifest

HEAD = """\
[workspace]
name = "demo"
channels = ["conda-forge"]
platforms = [{ name = "linux-64-cuda", platform = "linux-64", cuda = "12.8" }, "linux-64"]
"""
"""Four lines; what a test adds begins on line 5."""

CPU = Host("linux-64", {"__unix": "0", "__linux": "6.1", "__glibc": "2.36", "__archspec": "1"}, "x86_64_v3")
GPU = Host("linux-64", {**CPU.virtual_packages, "__cuda": "13.0"}, "x86_64_v3")


def manifest(folder: Path, text: str = "", *, head: str = HEAD) -> Manifest:
    """Write and read a manifest."""
    path = folder / "pixi.toml"
    path.write_text(head + text, encoding="utf-8")
    return read_manifest(path)


def recipe(folder: Path, name: str) -> Path:
    """A folder that counts as a recipe."""
    path = folder / "recipes" / name
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text(f"package: {{name: {name}, version: '1.0'}}\n")
    return path
