"""Version specifiers between PEP 440 and conda, in both directions.

The two worlds nearly agree. Where they do not, the translation keeps PEP 440's meaning:

=================  =========================  =============================================================
PEP 440            conda                      why
=================  =========================  =============================================================
``~=1.4.2``        ``>=1.4.2,<1.5dev0``       one form for both solvers of conda
``<2``             ``<2dev0``                 PEP 440 keeps 2.0rc1 out, conda's ``<2`` lets it in
``>2.0``           ``>2.0,!=2.0.post.*``      PEP 440 keeps 2.0.post1 out
``==1.4.*``        ``1.4.*``                  strict parsers refuse ``==1.4.*``
``===1.0``         ``==1.0``                  conda has no arbitrary equality
``==2.0+cpu``      ``==2.0``                  a local part stands in the build string (below)
``2.0.dev1``       ``2.0dev1``                conda sorts 2.0a1 below 2.0.dev1, but 2.0dev1 below 2.0a1
=================  =========================  =============================================================

Conda sorts ``2.13.0+cpu`` below ``2.13.0``, so ``>=2.13.0`` would refuse it: packages carry the public
version, and the local part goes into the build string, as on conda-forge (``pytorch 2.13.0 cpu_...``).
Sources: PEP 440; conda's ``VersionOrder``.
"""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ai_runner_base.errors import CallerError

_CLAUSE = re.compile(r"(~=|==|!=|<=|>=|<|>|=)?\s*([^\s~=!<>]+)")


def conda_version(version: Version) -> str:
    """Write a version as conda sorts it rightly; the local part is left out (see `local_build`)."""
    public = version.public
    if version.dev is not None and version.pre is None and version.post is None:
        return public.replace(".dev", "dev")
    return public


def local_build(version: Version) -> str:
    """Give the local part as a piece of a build string: ``cpu``, ``cuda128`` for ``cu128``, or empty."""
    if version.local is None:
        return ""
    text = re.sub(r"[^a-z0-9_]", "_", version.local.lower())
    return re.sub(r"\bcu(?=\d)", "cuda", text)


def to_conda(specifiers: SpecifierSet) -> str:
    """Translate PEP 440 specifiers into a conda version spec.

    :returns: e.g. ``>=1.4.2,<2dev0``; empty for any version
    :raises CallerError: ``===`` with something that is no version
    """
    parts = {part for specifier in specifiers for part in _clause_to_conda(specifier)}
    return ",".join(sorted(parts, key=lambda part: ("<" in part, "!" in part, part)))


def _clause_to_conda(spec: Specifier) -> list[str]:
    operator, raw = spec.operator, spec.version
    if raw.endswith(".*"):
        prefix = raw[:-2]
        return [f"{'' if operator == '==' else operator}{Version(prefix)}.*"]
    version = _version(raw, str(spec))
    text = conda_version(version)
    if operator == "~=":
        return [f">={text}", f"<{_release_text(version.epoch, _next_minor(version))}dev0"]
    if operator == "<" and not version.is_prerelease and version.post is None:
        return [f"<{_release_text(version.epoch, version.release)}dev0"]
    if operator == ">" and version.post is None and not version.is_prerelease:
        return [f">{text}", f"!={text}.post.*"]
    return [f"{'==' if operator == '===' else operator}{text}"]


def _version(raw: str, spec: str) -> Version:
    try:
        return Version(raw)
    except InvalidVersion:
        raise CallerError(
            f"requirement {spec!r} cannot be said in conda's terms: {raw!r} is no version"
        ) from None


def _next_minor(version: Version) -> tuple[int, ...]:
    *head, last = version.release[:-1]
    return (*head, last + 1)


def _release_text(epoch: int, release: tuple[int, ...]) -> str:
    """Write ``2.10.0`` as ``2.10``: 2.10a1 and 2.10.0a1 sort above 2.10dev0, but 2.10a1 below 2.10.0dev0."""
    trimmed = list(release)
    while len(trimmed) > 1 and trimmed[-1] == 0:
        trimmed.pop()
    return (f"{epoch}!" if epoch else "") + ".".join(map(str, trimmed))


def to_pep440(conda_spec: str) -> SpecifierSet:
    """Translate a conda version spec into PEP 440 specifiers.

    :param conda_spec: e.g. ``>=1.26,<3``, ``1.4.*``, ``=1.4``, ``<2.0a0``, ``*``; empty for any version
    :raises CallerError: alternatives (``|``), or a version that PEP 440 does not know
    """
    spec = conda_spec.strip()
    if spec in ("", "*"):
        return SpecifierSet()
    if re.search(r"[|()]", spec):
        raise CallerError(
            f"version spec {spec!r} has alternatives, which a Python index cannot be asked for",
            hint="write one range, such as >=1.2,<3",
        )
    return SpecifierSet(",".join(_clause_to_pep440(part.strip(), spec) for part in spec.split(",")))


def _clause_to_pep440(clause: str, whole: str) -> str:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise CallerError(f"version spec {whole!r}: {clause!r} is no comparison with a version")
    operator, raw = match[1] or "", match[2]
    star = raw.endswith("*")
    base = raw.rstrip("*").rstrip(".") if star else raw
    if operator == "<" and (upper := re.fullmatch(r"(.*?\d)(?:dev0|a0|\.0a0|\.dev0)", base)):
        base = upper[1]  # the idioms for "and no pre-release either", which PEP 440's `<` means anyway
    if operator in ("", "=", "==", "!=") and (star or operator == "="):
        text = f"{'!=' if operator == '!=' else '=='}{base}.*"
    else:
        text = f"{operator or '=='}{base}"
    try:
        return str(Specifier(text))
    except InvalidSpecifier:
        raise CallerError(f"version spec {whole!r}: {clause!r} cannot be asked of a Python index") from None
