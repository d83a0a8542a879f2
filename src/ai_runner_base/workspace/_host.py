"""What this machine provides: asked from rattler once, then remembered until something relevant changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ._home import Home, read_json, write_json
from ._platforms import Host

_DRIVER = Path("/proc/driver/nvidia/version")
_WSL_DRIVER = Path("/usr/lib/wsl/lib/libcuda.so.1")
_OVERRIDES = ("CONDA_OVERRIDE_", "PIXI_OVERRIDE_")


def fingerprint() -> str:
    """Everything that decides which virtual packages a host has, cheap to read.

    Kernel, C library, machine, NVIDIA driver, and the ``CONDA_OVERRIDE_*`` variables that pretend otherwise.
    """
    system = os.uname()
    overrides = {name: value for name, value in os.environ.items() if name.startswith(_OVERRIDES)}
    parts = [system.sysname, system.release, system.machine, _libc(), _driver(), sorted(overrides.items())]
    return json.dumps(parts)


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _driver() -> str:
    try:
        return _DRIVER.read_text(encoding="utf-8")
    except OSError:
        pass
    try:
        found = _WSL_DRIVER.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def remembered_host(home: Home) -> Host | None:
    """The host as detected before, or None when it must be detected (again)."""
    found = read_json(home.root / "state" / "host.json")
    if found is None or found.get("fingerprint") != fingerprint():
        return None
    return Host(found["subdir"], found["virtual_packages"], found["archspec"])


def remember_host(home: Home, host: Host) -> None:
    """Keep what was detected, where the folder can be written to."""
    value = {
        "fingerprint": fingerprint(),
        "subdir": host.subdir,
        "virtual_packages": dict(host.virtual_packages),
        "archspec": host.archspec,
    }
    home.make()
    write_json(home.root / "state" / "host.json", value)


def detect_host() -> Host:
    """Ask rattler, honouring ``CONDA_OVERRIDE_*`` and ``PIXI_OVERRIDE_PLATFORM`` as pixi does."""
    from rattler import Subdir, VirtualPackage, VirtualPackageOverrides

    packages = {}
    archspec = ""
    for found in VirtualPackage.detect(VirtualPackageOverrides.from_env()):
        package = found.into_generic()
        name = package.name.normalized
        packages[name] = str(package.version)
        if name == "__archspec":
            archspec = str(package.build_string)
    subdir = os.environ.get("PIXI_OVERRIDE_PLATFORM") or str(Subdir.current())
    return Host(subdir, packages, archspec)
