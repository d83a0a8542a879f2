"""Where a package comes from: a statement that lies beside it, to be read by people and checked by programs.

An in-toto statement (v1) with SLSA provenance (v1): which file by its SHA-256, made from which commit and recipe, by
whom, with what. Unsigned it is a note that anybody could have written; `workspace.attestation` signs it.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ai_runner_base import __version__

from ._sources import content_key
from .package_file import PackageFile
from .recipes import load

ENDING = ".provenance.json"
"""Of the file beside a package."""
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "urn:ai-runner:publish:v1"
_GIT_LIMIT_S = 20.0


def statement(package: PackageFile, recipe: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Say where a package comes from.

    :param recipe: the folder that it was built from just now; None for a file that was there
    :param environ: a CI's variables name the run
    """
    return {
        "_type": _STATEMENT,
        "subject": [{"name": package.path.name, "digest": {"sha256": package.sha256}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "package": package.name,
                    "version": package.version,
                    **_recipe(recipe),
                },
                "resolvedDependencies": _commit(recipe),
            },
            "runDetails": {
                "builder": {"id": _builder(environ), "version": _versions()},
                "metadata": {"finishedOn": datetime.now(UTC).isoformat(timespec="seconds")},
            },
        },
    }


def encode(value: Mapping[str, Any]) -> bytes:
    """Give a statement's bytes, which a signature covers."""
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _recipe(folder: Path | None) -> dict[str, Any]:
    """A hash over all that the recipe takes from its sources (see `_sources.content_key`)."""
    if folder is None:
        return {}
    return {"recipe": folder.resolve().name, "sourcesSha256": content_key(load(folder).sources)}


def _commit(folder: Path | None) -> list[dict[str, Any]]:
    if folder is None or not (commit := _git(folder, "rev-parse", "HEAD")):
        return []
    dirty = bool(_git(folder, "status", "--porcelain", "--", "."))
    where = _git(folder, "config", "--get", "remote.origin.url").rpartition("@")[
        2
    ]  # without a password in it
    entry: dict[str, Any] = {"uri": f"git+{where}" if where else "git", "digest": {"gitCommit": commit}}
    return [entry | ({"annotations": {"uncommittedChanges": True}} if dirty else {})]


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _builder(environ: Mapping[str, str]) -> str:
    """The address of the run in a CI that tells it (GitHub's or GitLab's), else the kind of machine."""
    if {"GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"} <= set(environ):
        parts = (
            environ["GITHUB_SERVER_URL"],
            environ["GITHUB_REPOSITORY"],
            "actions/runs",
            environ["GITHUB_RUN_ID"],
        )
        return "/".join(parts)
    return (
        environ.get("CI_JOB_URL") or f"urn:ai-runner:machine:{platform.system()}-{platform.machine()}".lower()
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "ai-runner-base": __version__,
        "py-rattler-build": version("py-rattler-build"),
        "python": platform.python_version(),
    }
