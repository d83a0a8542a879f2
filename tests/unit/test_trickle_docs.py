"""docs/reference/trickle.md says what the code does: numbers, names, states, routes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ai_runner_base.trickle import BASE_PATH, ClientOptions, Limits, ServerOptions, TrickleServer, protocol
from ai_runner_base.trickle.json_channel import KEEP_ALIVE, MESSAGE_LIMIT_BYTES
from ai_runner_base.trickle.segment import CHUNK_COST_BYTES, TRANSITIONS

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs/reference/trickle.md").read_text()


def table(heading: str) -> dict[str, list[str]]:
    """Rows of the table whose header line begins so, by their first cell without backticks."""
    lines = PAGE[PAGE.index(f"| {heading}") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("limit", Limits()),
        ("clock (`ServerOptions`)", ServerOptions()),
        ("setting (`ClientOptions`)", ClientOptions()),
    ],
)
def test_defaults(heading: str, options: object) -> None:
    values = {f.name: getattr(options, f.name) for f in fields(options)}  # type: ignore[arg-type]
    numbers = {n: v for n, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    assert {name: float(row[0]) for name, row in table(heading).items()} == numbers


def test_states() -> None:
    assert {
        (state, event): after
        for state, row in table("state").items()
        for event, after in zip(("bytes", "end", "drop"), row, strict=True)
    } == {(state.value, event.value): after.value for (state, event), after in TRANSITIONS.items()}


def test_headers() -> None:
    named = {value for name, value in vars(protocol).items() if name.startswith("HEADER_")}
    assert set(table("header")) == named
    assert f"`{protocol.CLOSED_VALUE}`" in table("header")[protocol.HEADER_CLOSED][1]


def test_requests() -> None:
    served = {
        f"{route.method} {re.sub(r':[^{}]+}', '}', route.path).removeprefix(BASE_PATH)}"
        for route in TrickleServer().routes()
    }
    plain = {path.replace("{slash}", "").replace("{part}", "{seq}") for path in served}
    assert set(table("request")) == plain


@pytest.mark.parametrize(
    "sentence",
    [
        f"Below `{BASE_PATH}`",
        f"The newest {protocol.RING_SEGMENTS} segments",
        f"seq mod {protocol.RING_SEGMENTS}",
        f"Writing `{protocol.NEXT}` means",
        f"`{protocol.CURRENT}` the newest",
        f"{protocol.STATUS_NO_SEGMENT} no such segment",
        f"latest at most {protocol.RING_SEGMENTS} below",
        f"Each chunk counts as {CHUNK_COST_BYTES} bytes more",
        f"up to {MESSAGE_LIMIT_BYTES // 1024**2} MiB",
        '{"keep": "alive"}',
    ],
)
def test_numbers_in_sentences(sentence: str) -> None:
    assert sentence in " ".join(PAGE.split())
    assert dict(KEEP_ALIVE) == {"keep": "alive"}
