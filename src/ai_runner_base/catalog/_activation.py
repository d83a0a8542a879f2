"""What ``conda activate`` would export, computed without conda and, where no package needs one, without a
shell.

The order is conda's (its documentation, "Managing environments", and conda/activate.py): packages' variables
from ``etc/conda/env_vars.d``, then the environment's own from ``conda-meta/state``, then the scripts in
``etc/conda/activate.d``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..errors import HostError
from ._prefixes import environment_name

SCRIPT_TIMEOUT_S = 10.0

_UNSET = "***unset***"
"""conda's mark, in ``conda-meta/state``, for a variable to remove."""
_SHELLS_OWN = ("_", "SHLVL", "PWD", "OLDPWD")
# Scripts may print: the variables leave by a descriptor of their own.
_SOURCE_ALL = 'exec 3>&1 1>&2; for script in "$@"; do . "$script"; done; exec env -0 >&3'

Variables = tuple[tuple[str, str], ...]


def activation_environment(prefix: Path, base: Mapping[str, str]) -> dict[str, str]:
    """All environment variables for a program of an environment.

    What another active environment has set (``CONDA_PREFIX`` in `base`) is taken back first. Blocks while
    scripts run, if packages bring any; their effect is remembered until one of them changes.

    :param prefix: root of the environment
    :param base: variables to start from, usually ``os.environ``; left as it is
    :raises HostError: a file of the environment cannot be read, or a script fails or hangs
    """
    env = dict(base)
    before = Path(env["CONDA_PREFIX"]) if env.get("CONDA_PREFIX") else None
    if before is not None:
        _take_back(before, env)
    env["PATH"] = _path(prefix, before, env.get("PATH", os.defpath))
    env.update(CONDA_PREFIX=str(prefix), CONDA_DEFAULT_ENV=environment_name(prefix), CONDA_SHLVL="1")
    for name, value in _declared(prefix).items():
        if value == _UNSET:
            env.pop(name, None)
        else:
            env[name] = value
    return _after_scripts(prefix, before, env)


def _take_back(before: Path, env: dict[str, str]) -> None:
    for name, value in _declared(before).items():
        if env.get(name) == value:
            del env[name]


def _path(prefix: Path, before: Path | None, path: str) -> str:
    dropped = {str(prefix / "bin"), str(before / "bin") if before else ""}
    kept = [part for part in path.split(os.pathsep) if part not in dropped]
    return os.pathsep.join([str(prefix / "bin"), *kept])


def _declared(prefix: Path) -> dict[str, str]:
    """Variables that packages and the environment declare; the later file wins."""
    declared: dict[str, str] = {}
    for path in sorted((prefix / "etc/conda/env_vars.d").glob("*.json")):
        declared.update(_read_object(path))
    state = prefix / "conda-meta/state"
    if state.is_file():
        declared.update(_read_object(state, "env_vars"))
    return declared


def _read_object(path: Path, key: str | None = None) -> dict[str, str]:
    try:
        content = json.loads(path.read_bytes())
        variables = content.get(key, {}) if key else content
        return {str(name): str(value) for name, value in variables.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise HostError(
            f"cannot read environment variables from {path}: {error}", hint="make the environment again"
        ) from error


def _after_scripts(prefix: Path, before: Path | None, env: dict[str, str]) -> dict[str, str]:
    leave = _scripts(before, "deactivate.d")[::-1] if before not in (None, prefix) else []
    scripts = [*leave, *_scripts(prefix, "activate.d")]
    if not scripts:
        return env
    stamped = tuple((str(path), path.stat().st_mtime_ns) for path in scripts)
    changed = dict(_run_scripts(stamped, tuple(sorted(env.items()))))
    return changed | {name: env[name] for name in _SHELLS_OWN if name in env}


def _scripts(prefix: Path | None, folder: str) -> list[Path]:
    return sorted((prefix / "etc/conda" / folder).glob("*.sh")) if prefix else []


@lru_cache(maxsize=32)
def _run_scripts(scripts: tuple[tuple[str, int], ...], env: Variables) -> Variables:
    """Source scripts in one bash and read its environment.

    :param scripts: path and modification time, the time only for the cache
    :param env: variables to start from
    """
    names = [path for path, _ in scripts]
    command = ["bash", "--noprofile", "--norc", "-c", _SOURCE_ALL, "activate", *names]
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SCRIPT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"")[-500:].decode(errors="replace").strip()
        raise HostError(f"activation scripts {', '.join(names)} failed: {error}", hint=said) from error
    pairs = (line.partition("=") for line in done.stdout.decode(errors="surrogateescape").split("\0") if line)
    return tuple((name, value) for name, _, value in pairs if name not in _SHELLS_OWN)
