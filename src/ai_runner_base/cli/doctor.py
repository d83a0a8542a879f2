"""`ai-runner doctor`: what this host offers, and what is missing for which environment, ending in advice."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from .. import __version__
from ..catalog import Catalog, known_prefixes
from ._options import environments_option

if TYPE_CHECKING:
    from ..media import CodecProbe

_TOOL_LIMIT_S = 10.0


@dataclass
class Finding:
    """One line of the report. `advice` is empty where nothing is to be done."""

    topic: str
    value: str
    ok: bool = True
    advice: str = ""


@dataclass
class Host:
    """What was found, for `--json`."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, topic: str, value: str, *, ok: bool = True, advice: str = "") -> None:
        """Note one finding."""
        self.findings.append(Finding(topic, value, ok, advice))


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@environments_option
def command(as_json: bool, environments: tuple[Path, ...]) -> int:
    """Say what this host offers and what is missing for which environment.

    Exit code 0: everything that is installed can run; 5: something is missing, with advice.
    """
    host = Host()
    for examine in (_interpreter, _gpu, _virtual_packages, _encoders, _decoders):
        examine(host)
    _environments(host, environments)
    _workspace(host)
    if as_json:
        click.echo(json.dumps([asdict(f) for f in host.findings], indent=2))
    else:
        _print(host)
    return 0 if all(f.ok for f in host.findings) else 5


def _print(host: Host) -> None:
    console = Console()
    for f in host.findings:
        mark = "[green]✓[/]" if f.ok else "[red]✗[/]"
        console.print(f"{mark} [bold]{f.topic}[/]  {escape(f.value)}", soft_wrap=True)
        if f.advice:
            console.print(f"    → {escape(f.advice)}", soft_wrap=True)


def _interpreter(host: Host) -> None:
    host.add("ai-runner", f"{__version__} in {sys.prefix}")
    host.add("interpreter", f"Python {platform.python_version()} on {platform.platform()}")


def cuda_driver() -> str | None:
    """Return the CUDA version that the driver supports, such as ``12.8``, asking ``nvidia-smi``; None without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        out = subprocess.run(
            [tool], capture_output=True, text=True, timeout=_TOOL_LIMIT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"CUDA Version:\s*([0-9.]+)", out)
    return found[1] if found else None


def _gpu(host: Host) -> None:
    driver = os.environ.get("CONDA_OVERRIDE_CUDA")
    if driver is None:
        driver = cuda_driver()
    if not driver:
        host.add("GPU", "no CUDA driver: pipelines run on the CPU")
        return
    if not re.fullmatch(r"\d+(\.\d+)*", driver):
        advice = "set it to a version such as 12.8, to nothing for none, or not at all"
        host.add("CUDA driver", f"CONDA_OVERRIDE_CUDA={driver} is no version", ok=False, advice=advice)
        return
    host.add("CUDA driver", f"supports CUDA {driver}")
    if tuple(map(int, driver.split(".")[:2])) < (12, 8):
        host.add(
            "CUDA environments",
            f"need CUDA 12.8 or later, the driver supports {driver}",
            ok=False,
            advice="update the NVIDIA driver to 570 or later",
        )


def _virtual_packages(host: Host) -> None:
    """List what the solver will see; py-rattler is asked where it is installed, else the standard library."""
    try:
        from rattler import VirtualPackage, VirtualPackageOverrides
    except ImportError:
        libc = " ".join(platform.libc_ver())
        host.add("virtual packages", f"__linux {platform.release().split('-')[0]}, __{libc}")
        return
    found = [v.into_generic() for v in VirtualPackage.detect(VirtualPackageOverrides.from_env())]
    host.add("virtual packages", ", ".join(f"{v.name.normalized} {v.version}" for v in found))


def _encoders(host: Host) -> None:
    from ..media import list_video_encoders

    encoders = list_video_encoders()
    usable = [e.name for e in encoders if e.usable]
    host.add(
        "H.264 encoders",
        ", ".join(usable) or "none",
        ok=bool(usable),
        advice=""
        if usable
        else "install an FFmpeg with libx264 or libopenh264 (conda-forge's default build has both)",
    )
    _unusable(host, "encoder", encoders)


def _decoders(host: Host) -> None:
    from ..media import list_video_decoders

    decoders = list_video_decoders()
    host.add("H.264 decoders", ", ".join(d.name for d in decoders if d.usable))
    _unusable(host, "decoder", decoders)


def _unusable(host: Host, kind: str, probes: Sequence[CodecProbe]) -> None:
    for probe in probes:
        if not probe.usable and probe.hardware:
            host.add(f"{kind} {probe.name}", f"not usable here: {probe.reason}")


def _environments(host: Host, also: tuple[Path, ...]) -> None:
    catalog = Catalog.scan(also=also)
    for prefix in dict.fromkeys((*known_prefixes(), *also)):
        names = [p.name for p in catalog.pipelines if p.prefix == prefix]
        host.add(f"environment {prefix.name}", f"pipelines: {', '.join(names) or 'none'} ({prefix})")
    for problem in catalog.problems:
        host.add(
            f"environment {problem.prefix.name}",
            f"{problem.subject}: {problem.message}",
            ok=False,
            advice="reinstall that package, or make the environment again",
        )


def _workspace(host: Host) -> None:
    """Name the environments of the `pixi.toml` here that are not installed yet."""
    manifest = Path(os.environ.get("PIXI_PROJECT_MANIFEST", "pixi.toml"))
    if not manifest.is_file():
        return
    try:
        declared: dict[str, Any] = tomllib.loads(manifest.read_text()).get("environments", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        host.add("workspace", f"{manifest} cannot be read: {error}", ok=False, advice="repair the file")
        return
    present = {prefix.name for prefix in known_prefixes()}
    missing = sorted({"default", *declared} - present)
    if missing:
        program = "scripts/pixiw" if Path(manifest.parent, "scripts/pixiw").is_file() else "pixi"
        advice = f"for one that you want: {program} install -e NAME"
        host.add("workspace", f"not installed yet: {', '.join(missing)}", advice=advice)
