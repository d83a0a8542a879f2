"""The page about orchestrators says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests._support.orchestrator import Orchestrator

from ai_runner_base.catalog import InstalledPipeline
from ai_runner_base.cli import serve
from ai_runner_base.cli._orchestrators import installed_facts
from ai_runner_base.orchestrator import METADATA_LIMIT_BYTES, LeaseState
from ai_runner_base.server import live_offer
from ai_runner_base.server.live_sessions import CHANNELS

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs/orchestrators.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """First and second column of the table after a heading."""
    table = PAGE.split(heading, 1)[1].split("\n\n", 2)[1]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", table, re.M))


def test_every_option_that_is_named_exists() -> None:
    options = {option for param in serve.command.params for option in param.opts}
    named = {
        name
        for block in re.findall(r"ai-runner serve[^`]*?```", PAGE)
        for name in re.findall(r"--[\w-]+", block)
    }
    named |= set(re.findall(r"`(--[\w-]+)", PAGE))
    assert named <= options
    assert {
        "--orchestrator",
        "--orchestrator-secret",
        "--orchestrator-tls",
        "--price",
        "--price-unit",
    } <= named


def test_the_states_are_those_of_the_lease() -> None:
    assert set(rows("where that stands:")) == {state.value for state in LeaseState}


def test_every_word_for_the_status_is_documented() -> None:
    words = set(re.findall(r"`(\w+)`", rows("with each heartbeat:")["status"]))
    source = Path(live_offer.__file__).read_text()
    assert words == set(re.findall(r'Slots\([^"\n]*"(\w+)"\)', source)) | {live_offer.READY}


def test_the_metadata_is_documented() -> None:
    text = rows("with each heartbeat:")["metadata"]
    facts = installed_facts(InstalledPipeline("p", "m:C", "d", "1", Path("/nowhere"), "e"))
    assert [*facts, "frame_ms", "workers"] == re.findall(r"`(\w+)`", text)
    assert str(METADATA_LIMIT_BYTES) in text


def test_the_channels_are_documented() -> None:
    assert (
        "channels " + ", ".join(f"`{name}`" for name in list(CHANNELS)[:-1]) + f" and `{list(CHANNELS)[-1]}`"
        in PAGE
    )


def test_the_configurations_are_json_that_orchestrators_know() -> None:
    external, static = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.S))
    assert set(external[0]) == {"pipeline", "model_id", "url", "token", "warm", "capacity"}
    (entry,) = static["runners"]
    fields = {"label", "runner_url", "health_url", "app", "mode", "capacity", "price_info"}
    assert set(entry) == fields
    assert Orchestrator().add_static(entry["label"], entry["runner_url"]).ready
