"""The variables of an activated environment, computed once at installation and kept as data.

Scripts (of packages in ``etc/conda/activate.d`` and of the manifest) run in a shell at installation; what
they change is remembered, so that starting a task needs no shell. Source of the rules: conda's activation and
pixi's order of precedence: task, then ``activation.env``, then scripts, then packages, then the outside.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CallerError, HostError
from ._home import read_json
from ._model import Manifest
from ._plan import EnvironmentPlan

_TIMEOUT_S = 60
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SHELL_NOISE = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "PIXIW_DUMP"})


@dataclass(frozen=True, slots=True)
class Activated:
    """What activation changes.

    :param path: folders to put before the outside ``PATH``
    :param variables: to set
    :param removed: to unset
    """

    path: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"path": list(self.path), "variables": dict(self.variables), "removed": list(self.removed)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Activated:
        """Back from plain data."""
        return cls(tuple(value["path"]), value["variables"], tuple(value["removed"]))


def capture_activation(plan: EnvironmentPlan, prefix: Path, root: Path) -> Activated:
    """Find out what activating an environment changes.

    :param root: the workspace, from which the manifest's scripts are named
    :raises CallerError: the manifest names a script that is not there
    :raises HostError: a script fails
    """
    variables = _package_variables(prefix)
    scripts = sorted(prefix.glob("etc/conda/activate.d/*.sh"))
    for name in plan.activation.scripts:
        if not (root / name).is_file():
            raise CallerError(f"environment {plan.environment}: activation script {name} is not there")
        scripts.append(root / name)
    path = (str(prefix / "bin"),)
    if not scripts:
        return Activated(path, variables)
    return _run_scripts(scripts, Activated(path, variables), prefix)


def _package_variables(prefix: Path) -> dict[str, str]:
    """Variables that packages declare (``etc/conda/env_vars.d``) and that ``conda env config vars`` sets."""
    found: dict[str, str] = {}
    for path in sorted(prefix.glob("etc/conda/env_vars.d/*.json")):
        found |= {name: str(value) for name, value in (read_json(path) or {}).items()}
    state = read_json(prefix / "conda-meta" / "state") or {}
    declared = state.get("env_vars", {})
    return found | {name: str(value) for name, value in declared.items()}


def _run_scripts(scripts: Sequence[Path], before: Activated, prefix: Path) -> Activated:
    with tempfile.TemporaryDirectory(prefix="pixiw-") as folder:
        return _run_scripts_into(Path(folder) / "variables.json", scripts, before, prefix)


def _run_scripts_into(target: Path, scripts: Sequence[Path], before: Activated, prefix: Path) -> Activated:
    base = environment_variables(before, os.environ, {"CONDA_PREFIX": str(prefix)})
    sourced = "\n".join(f". {shlex.quote(str(script))} || exit 1" for script in scripts)
    dump = "import json, os; print(json.dumps(dict(os.environ)), file=open(os.environ['PIXIW_DUMP'], 'w'))"
    command = f"{sourced}\n{shlex.quote(sys.executable)} -I -c {shlex.quote(dump)}"
    env = base | {"PIXIW_DUMP": str(target)}
    done = subprocess.run(
        [shell(), "-c", command], env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        names = ", ".join(script.name for script in scripts)
        raise HostError(f"activation failed ({names}): {done.stderr.strip() or done.stdout.strip()}")
    after: dict[str, str] = json.loads(target.read_text())
    return _difference(before, base, after)


def _difference(before: Activated, base: Mapping[str, str], after: dict[str, str]) -> Activated:
    outside = os.environ.get("PATH", "")
    path = after.pop("PATH", outside)
    front = path.removesuffix(outside).rstrip(":") if outside and path.endswith(outside) else path
    changed = {
        name: value for name, value in after.items() if base.get(name) != value and name not in _SHELL_NOISE
    }
    removed = tuple(name for name in base if name not in after and name not in _SHELL_NOISE | {"PATH"})
    return Activated(tuple(front.split(":")) if front else (), {**before.variables, **changed}, removed)


def shell() -> str:
    """The shell that runs tasks: bash, else /bin/sh; tasks keep to what these and pixi's shell share."""
    return shutil.which("bash") or "/bin/sh"


def environment_variables(
    activated: Activated, outside: Mapping[str, str], fixed: Mapping[str, str], *layers: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a process in an environment.

    :param outside: where it starts from
    :param fixed: set as they are (``CONDA_PREFIX``, ``PIXI_*``)
    :param layers: ``activation.env``, then the task's; ``$NAME`` in them means what was set before
    """
    env = {name: value for name, value in outside.items() if name not in activated.removed}
    env |= {**fixed, **activated.variables}
    env["PATH"] = ":".join([*activated.path, *filter(None, [outside.get("PATH", os.defpath)])])
    for layer in layers:
        for name, value in layer.items():
            env[name] = _expand(value, env)
    return env


def _expand(text: str, env: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: env.get(match.group(1) or match.group(2), ""), text)


def fixed_variables(manifest: Manifest, plan: EnvironmentPlan, prefix: Path, cwd: Path) -> dict[str, str]:
    """The variables by which a task knows where it is; the same names as pixi's."""
    label = manifest.name if plan.environment == "default" else f"{manifest.name}:{plan.environment}"
    return {
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": label,
        "CONDA_SHLVL": "1",
        "PIXI_PROJECT_ROOT": str(manifest.root),
        "PIXI_PROJECT_NAME": manifest.name,
        "PIXI_PROJECT_MANIFEST": str(manifest.path),
        "PIXI_PROJECT_VERSION": manifest.version or "NO_VERSION_SPECIFIED",
        "PIXI_ENVIRONMENT_NAME": plan.environment,
        "PIXI_ENVIRONMENT_PLATFORMS": ",".join(plan.supported),
        "PIXI_PROMPT": f"({label}) ",
        "PIXI_IN_SHELL": "1",
        "INIT_CWD": str(cwd),
    }
