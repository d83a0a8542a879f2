"""Reading a parameter schema: what it lacks, and which values lie at its edges."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

COMMON = frozenset({"width", "height", "show_reloading_frame"})
"""Parameters that every pipeline has; their edges are about picture sizes, which have checks of their own."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONG_TEXT = "Ein lächelndes Gänseblümchen 🌼 " * 32
_NUMBERS = ("integer", "number")

Schema = Mapping[str, Any]


def own_properties(schema: Schema) -> dict[str, Schema]:
    """The pipeline's own parameters, references followed, by name."""
    properties = schema.get("properties", {})
    return {name: _resolved(prop, schema) for name, prop in properties.items() if name not in COMMON}


def _resolved(prop: Schema, schema: Schema) -> dict[str, Any]:
    """Merge what ``$ref`` or a lone ``allOf`` points to; what stands beside it wins."""
    reference = prop.get("$ref") or next((part.get("$ref") for part in prop.get("allOf", ())), None)
    if reference is None:
        return dict(prop)
    target = schema.get("$defs", {}).get(str(reference).rpartition("/")[2], {})
    return {**_resolved(target, schema), **prop}


def complaints(schema: Schema) -> Iterator[str]:
    """What an author should add or repair, one sentence each."""
    for name, prop in own_properties(schema).items():
        if not _NAME.fullmatch(name):
            yield f"{name}: names are small letters, digits and _"
        if not str(prop.get("description", "")).strip():
            yield f"{name} has no description"
        if "default" not in prop:
            yield f"{name} has no default"
        for branch in branches(prop):
            yield from _complaints_on_range(name, branch, prop.get("default"))


def _complaints_on_range(name: str, branch: Schema, default: object) -> Iterator[str]:
    if "enum" in branch or "const" in branch or branch.get("type") not in _NUMBERS:
        return
    low, high = bounds(branch)
    if low is None:
        yield f"{name} has no minimum (ge=)"
    if high is None:
        yield f"{name} has no maximum (le=)"
    if low is not None and high is not None and low > high:
        yield f"{name} has the minimum {low:g} above its maximum {high:g}"
    if not isinstance(default, (int, float)) or isinstance(default, bool):
        return
    if (low is not None and default < low) or (high is not None and default > high):
        yield f"{name} has the default {default:g}, which its range does not hold"


def branches(prop: Schema) -> list[Schema]:
    """The alternatives of a parameter: one, or those of ``anyOf`` (as in ``int | None``)."""
    found = prop.get("anyOf") or prop.get("oneOf")
    return list(found) if found else [prop]


def bounds(branch: Schema) -> tuple[float | None, float | None]:
    """(lowest, highest) value that a number may have, exclusive bounds moved inwards."""
    low, high = branch.get("minimum"), branch.get("maximum")
    step = _step(branch)
    if low is None and "exclusiveMinimum" in branch:
        low = branch["exclusiveMinimum"] + step
    if high is None and "exclusiveMaximum" in branch:
        high = branch["exclusiveMaximum"] - step
    if (factor := branch.get("multipleOf")) and branch.get("type") == "integer":
        low = None if low is None else math.ceil(low / factor) * factor
        high = None if high is None else math.floor(high / factor) * factor
    return low, high


def _step(branch: Schema) -> float:
    """How far inside an exclusive bound the edge is tried."""
    if branch.get("type") == "integer":
        return 1
    low = branch.get("exclusiveMinimum", branch.get("minimum", 0))
    high = branch.get("exclusiveMaximum", branch.get("maximum", low + 1))
    return float(high - low) / 1e6


def edges(prop: Schema) -> list[Any]:
    """The values at the edges of a parameter, without repetition."""
    found: list[Any] = []
    for branch in branches(prop):
        found += [value for value in _edges(branch, prop) if not any(_same(value, old) for old in found)]
    return found


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _edges(branch: Schema, prop: Schema) -> list[Any]:
    kind = branch.get("type")
    if "enum" in branch or "const" in branch:
        return list(branch.get("enum", ())) or [branch["const"]]
    if kind == "boolean":
        return [False, True]
    if kind == "null":
        return [None]
    if kind in _NUMBERS:
        found = [bound for bound in bounds(branch) if bound is not None]
        return [int(bound) for bound in found] if kind == "integer" else found
    if kind == "string":
        return _text_edges(branch, live=bool(prop.get("x-live", True)))
    return []


def _text_edges(branch: Schema, *, live: bool) -> list[str]:
    """Free text may be empty, long, and in any script. Text that something is loaded by is no free text."""
    if not live or "pattern" in branch or "format" in branch:
        return []
    shortest = "x" * int(branch.get("minLength", 0))
    return [shortest, _LONG_TEXT[: int(branch.get("maxLength", len(_LONG_TEXT)))]]


def is_number(prop: Schema) -> bool:
    """Whether a parameter takes floats: integers refuse NaN by their nature."""
    return any(branch.get("type") == "number" for branch in branches(prop))
