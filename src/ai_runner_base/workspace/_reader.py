"""From TOML to a `Manifest`. Everything that is not understood is refused by name and line, never ignored."""

from __future__ import annotations

import re
from pathlib import Path

from ._model import Activation, Environment, Feature, Layer, Manifest, Platform, Requirement
from ._tasks_reader import read_tasks
from ._toml import WITH_PIXI, Document, Table, load

DEFAULT = "default"
SUBDIRS = frozenset(
    {
        *("linux-32", "linux-64", "linux-aarch64", "linux-armv6l", "linux-armv7l", "linux-loongarch64"),
        *("linux-ppc64", "linux-ppc64le", "linux-riscv32", "linux-riscv64", "linux-s390x", "noarch"),
        *("osx-64", "osx-arm64", "win-32", "win-64", "win-arm64"),
        *("emscripten-wasm32", "wasi-wasm32", "freebsd-64", "zos-z"),
    }
)
FAMILIES = frozenset({"linux", "unix", "osx", "macos", "win"})
_ENVIRONMENT_NAME = re.compile(r"[a-z0-9-]+")
_PLATFORM_NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?")

_VIRTUAL = {"cuda": "__cuda", "glibc": "__glibc", "linux": "__linux"}
_VIRTUAL |= {"macos": "__osx", "osx": "__osx", "windows": "__win"}
_PYPI = "every dependency comes as a conda package here"
_OLD_BUILD = "the recipe of a package says what its build needs"
_CONTENT = frozenset({"dependencies", "constraints", "activation", "tasks", "target"})
_CONTENT_REFUSED = {
    "pypi-dependencies": _PYPI,
    "pypi-options": _PYPI,
    "dev": "development dependencies of source packages are not resolved",
    "host-dependencies": _OLD_BUILD,
    "build-dependencies": _OLD_BUILD,
    "system-requirements": "declare a platform with virtual packages in workspace.platforms",
    "channels": "all environments use the channels of the workspace",
    "channel-priority": "priority is strict, for the whole workspace",
    "solve-strategy": "the highest versions are taken",
}
_ROOT = _CONTENT | {"$schema", "workspace", "feature", "environments", "tool"}
_ROOT_REFUSED = {
    **_CONTENT_REFUSED,
    "project": "this is the old name of [workspace]",
    "package": "in-repo packages are described by their recipe.yaml",
    "exclude-newer": "there is no cut-off date",
    "pypi-exclude-newer": _PYPI,
}
_WORKSPACE = frozenset(
    {
        *("name", "version", "description", "authors", "license", "license-file", "readme", "homepage"),
        *("repository", "documentation", "channels", "channel-priority", "solve-strategy", "platforms"),
        *("preview", "requires-pixi", "dependencies"),
    }
)
_WORKSPACE_REFUSED = {
    "exclude-newer": "there is no cut-off date",
    "conda-pypi-map": _PYPI,
    "pypi-options": _PYPI,
    "s3-options": "channels in buckets are not read",
    "build-variants": "put variants.yaml beside the recipe",
    "build-variants-files": "put variants.yaml beside the recipe",
    "target": "build variants for one platform are not read",
}
_SPEC = frozenset({"version", "build", "channel", "path", "workspace"})
_SPEC_REFUSED = {
    "git": "sources come from this repository only",
    "url": "sources come from this repository only",
    "build-number": "pin a build string with `build`",
    "subdir": "the platform decides",
    "extras": "needs newer package metadata",
    "flags": "needs newer package metadata",
    "when": "use a target table",
    "package": "put a recipe.yaml into the folder",
    **dict.fromkeys(
        ("branch", "tag", "rev", "subdirectory", "lfs"), "sources come from this repository only"
    ),
    **dict.fromkeys(("md5", "sha256", "file-name"), "the lock file pins exact files"),
    **dict.fromkeys(("license", "license-family", "track-features"), "not a way to choose a package here"),
}


def read_manifest(path: Path) -> Manifest:
    """Read ``pixi.toml``.

    :raises CallerError: missing, not TOML 1.0, or something in it is not understood (with name and line)
    """
    document = load(path)
    root = Table(document, (), document.data)
    root.only(_ROOT, _ROOT_REFUSED)
    if "workspace" not in root:
        raise root.error("workspace", "this table is missing; is it a pixi manifest?")
    workspace = root.table("workspace")
    workspace.only(_WORKSPACE, _WORKSPACE_REFUSED)
    platforms = _read_platforms(workspace)
    reader = _FeatureReader(document, workspace, platforms)
    features = {DEFAULT: reader.feature(DEFAULT, root, root=True)}
    for name, table in root.tables("feature"):
        table.only(_CONTENT | {"platforms"}, _CONTENT_REFUSED)
        features[name] = reader.feature(name, table)
    return Manifest(
        document=document,
        name=workspace.string("name") or path.parent.name,
        version=workspace.string("version") or "",
        description=workspace.string("description") or "",
        channels=_read_channels(workspace),
        platforms=platforms,
        features=features,
        environments=_read_environments(root, features, reader),
    )


def _read_channels(workspace: Table) -> tuple[str, ...]:
    if workspace.string("channel-priority") not in (None, "strict"):
        raise workspace.error("channel-priority", "only strict is supported by pixiw")
    if workspace.string("solve-strategy") not in (None, "highest"):
        raise workspace.error("solve-strategy", "only highest is supported by pixiw")
    if not workspace.strings("channels"):
        raise workspace.error("channels", "this list is missing")
    return workspace.strings("channels")


def _read_platforms(workspace: Table) -> tuple[Platform, ...]:
    platforms: list[Platform] = []
    for key, item in workspace.items("platforms"):
        table = Table(workspace.document, key, {"platform": item} if isinstance(item, str) else item)
        platform = _read_platform(table)
        if any(platform.name == other.name for other in platforms):
            raise table.error(None, f"there are two platforms of the name {platform.name}")
        platforms.append(platform)
    if not platforms:
        raise workspace.error("platforms", "this list is missing or empty")
    return tuple(platforms)


def _read_platform(table: Table) -> Platform:
    subdir = table.string("platform") or table.string("name") or ""
    if subdir not in SUBDIRS:
        raise table.error("platform", f"{subdir!r} is no conda platform such as linux-64")
    declared = _read_declared(table)
    parts = [f"{name.strip('_')}-{value.replace('.', '-')}" for name, value in declared.items()]
    name = table.string("name") or "-".join([subdir, *parts]).replace("_", "-")
    if not _PLATFORM_NAME.fullmatch(name) or name in FAMILIES:
        raise table.error("name", f"{name!r} must be letters, digits and '-', and no family of systems")
    if name == subdir and declared:
        raise table.error("name", f"a platform named like its subdir cannot declare {', '.join(declared)}")
    return Platform(name, subdir, declared)


def _read_declared(table: Table) -> dict[str, str]:
    declared: dict[str, str] = {}
    for key in table.data:
        if key in ("name", "platform"):
            continue
        if key in ("archspec", "__archspec"):
            raise table.error(key, "not supported by pixiw: microarchitectures have no order to compare by")
        if key not in _VIRTUAL and not key.startswith("__"):
            raise table.error(key, f"unknown key; known here: name, platform, {', '.join(_VIRTUAL)}")
        if key == "cuda" and isinstance(table.data[key], dict):
            declared |= _read_cuda(table.table("cuda"))
        else:
            declared[_VIRTUAL.get(key, key)] = table.string(key) or ""
    return declared


def _read_cuda(cuda: Table) -> dict[str, str]:
    cuda.only(frozenset({"driver", "arch"}), {})
    if "driver" not in cuda:
        raise cuda.error("driver", "this key is missing")
    versions = {"__cuda": cuda.string("driver"), "__cuda_arch": cuda.string("arch")}
    return {name: version for name, version in versions.items() if version is not None}


def _read_environments(
    root: Table, features: dict[str, Feature], reader: _FeatureReader
) -> dict[str, Environment]:
    environments = {DEFAULT: Environment(DEFAULT, (features[DEFAULT],))}
    for name, value in root.table("environments").data.items():
        key = ("environments", name)
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise root.document.error(key, "names of environments are small letters, digits and '-'")
        table = Table(root.document, key, {"features": value} if isinstance(value, list) else value)
        known = _CONTENT | {"platforms", "features", "no-default-feature", "solve-group"}
        table.only(known, _CONTENT_REFUSED)
        parts = [reader.feature(f"environment {name}", table)]
        for listed in table.strings("features"):
            if listed not in features:
                raise table.error("features", f"there is no feature {listed!r}")
            parts.append(features[listed])
        if not table.flag("no-default-feature") and features[DEFAULT] not in parts:
            parts.append(features[DEFAULT])
        environments[name] = Environment(name, tuple(parts), table.string("solve-group"), key)
    return environments


class _FeatureReader:
    """Reads the content of features, which needs the workspace's pool, platforms and channels."""

    def __init__(self, document: Document, workspace: Table, platforms: tuple[Platform, ...]) -> None:
        self._root = document.path.parent
        self._channels = workspace.strings("channels")
        self._platforms = platforms
        self._pool: dict[str, Requirement] = {}
        self._pool = self._requirements(workspace, "dependencies")

    def feature(self, name: str, table: Table, *, root: bool = False) -> Feature:
        targets = []
        for selector, target in table.tables("target"):
            target.only(_CONTENT - {"target"}, _CONTENT_REFUSED)
            self._check_selector(selector, target)
            targets.append((selector, self._layer(target)))
        platforms = None if root or "platforms" not in table else table.strings("platforms")
        for platform in platforms or ():
            if all(platform not in (known.name, known.subdir) for known in self._platforms):
                raise table.error("platforms", f"{platform!r} is not among workspace.platforms")
        return Feature(name, self._layer(table), tuple(targets), platforms)

    def _check_selector(self, selector: str, target: Table) -> None:
        names = {platform.name for platform in self._platforms}
        if selector not in names | SUBDIRS | FAMILIES and "*" not in selector:
            raise target.error(None, f"{selector!r} is no platform of the workspace, no subdir and no family")

    def _layer(self, table: Table) -> Layer:
        activation = table.table("activation")
        activation.only(frozenset({"env", "scripts"}), {})
        return Layer(
            dependencies=self._requirements(table, "dependencies"),
            constraints=self._requirements(table, "constraints"),
            activation=Activation(activation.string_map("env"), activation.strings("scripts")),
            tasks=read_tasks(table.table("tasks")),
        )

    def _requirements(self, table: Table, kind: str) -> dict[str, Requirement]:
        specs = table.table(kind)
        return {name: self._requirement(specs, name) for name in specs.data}

    def _requirement(self, specs: Table, name: str) -> Requirement:
        value = specs.data[name]
        spec = Table(
            specs.document, (*specs.key, name), {"version": value} if isinstance(value, str) else value
        )
        spec.only(_SPEC, _SPEC_REFUSED)
        if spec.flag("workspace"):
            return self._inherited(spec, name)
        channel = spec.string("channel")
        if channel is not None and channel not in self._channels:
            raise spec.error("channel", f"{channel!r} is not among workspace.channels")
        return Requirement(
            name,
            spec.string("version") or "*",
            spec.string("build") or "",
            self._path(spec),
            spec.key,
        )

    def _path(self, spec: Table) -> Path | None:
        path = spec.string("path")
        if path is None:
            return None
        if path.endswith((".conda", ".tar.bz2")):
            problem = "not supported by pixiw: a built package as a dependency; put it into a channel"
            raise spec.error("path", problem, hint=WITH_PIXI)
        if "version" in spec or "build" in spec:
            raise spec.error(None, "an in-repo package (path) takes no version or build")
        return self._root / path

    def _inherited(self, spec: Table, name: str) -> Requirement:
        if set(spec.data) != {"workspace"}:
            raise spec.error(None, "beside `workspace = true` nothing else may be said")
        if name not in self._pool:
            raise spec.error(None, f"{name} is not in [workspace.dependencies]")
        pooled = self._pool[name]
        return Requirement(name, pooled.version, pooled.build, pooled.path, spec.key)
