"""The playground's page in the documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_runner_base.media import MAX_JPEG_PIXELS
from ai_runner_base.server import playground_messages, playground_wire, playground_ws
from ai_runner_base.stream import _window

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "docs/playground.md").read_text().split())
CODE = "".join(path.read_text() for path in Path(playground_ws.__file__).parent.glob("playground_*.py"))
LINK = (Path(playground_ws.__file__).parent / "playground/link.js").read_text()


def test_limits() -> None:
    assert f"{playground_ws.MAX_CONNECTIONS} sessions, {playground_ws.MAX_MESSAGE_BYTES >> 20} MiB" in TEXT
    assert MAX_JPEG_PIXELS == 3840 * 2160
    assert "3840x2160 pixels a picture" in TEXT
    assert f"{playground_wire.MAX_MESSAGES_PER_S} messages a second" in TEXT
    assert f"first, within {playground_ws.START_LIMIT_S:g} s" in TEXT
    assert f"whose absence for {playground_wire.SILENCE_LIMIT_S:g} s ends the session" in TEXT
    assert playground_wire.SILENCE_LIMIT_S < 5
    assert playground_ws.HEARTBEAT_S * 1.5 < 5


def test_window() -> None:
    assert f"unanswered pictures, {_window.Window().limit} at first" in TEXT
    assert f"(up to {_window.MOST})" in TEXT
    assert f"(down to {_window.LEAST})" in TEXT
    assert f"plus {_window._SLACK_S * 1000:g} ms" in TEXT


def test_messages() -> None:
    assert f"`{playground_messages.PROTOCOL}`" in TEXT
    told = set(re.findall(r"\.tell\(\s*\"(\w+)\"", CODE)) | {"refused"}
    section = TEXT.partition("| runner says |")[2].partition("**Room.**")[0]
    assert told == set(re.findall(r"\| `(\w+)`:", section))
    codes = set(re.findall(r"\.refuse\(\"(\w+)\"", CODE))
    assert codes == set(
        re.findall(r"`(\w+)`", section.partition("| `refused`")[2].partition("|")[2].partition("|")[0])
    ) - {"retry_after_s"}


def test_when_the_page_falls_back() -> None:
    limits_s = [int(ms) / 1000 for ms in re.findall(r"const (?:CONNECT|FIRST|STALL)_LIMIT_MS = (\d+)", LINK)]
    assert (
        "within {:g} s, brings no picture within {:g} s, or pictures stay away for {:g} s".format(*limits_s)
        in TEXT
    )


def test_picture_is_there_and_small() -> None:
    assert 50_000 < (ROOT / "docs/images/playground.png").stat().st_size < 400_000
