"""The page's pure modules, run where they run: in a browser, without a runner."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests._support.browser import Page, chromium, find_chromium

from ai_runner_base.server import page as files
from ai_runner_base.server.playground_messages import PICTURE, Binary
from ai_runner_base.stream._window import Window

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]


@contextlib.asynccontextmanager
async def _modules(profile: Path) -> AsyncIterator[Page]:
    if find_chromium() is None:
        pytest.skip("no Chromium here and it cannot be installed: apt-get install chromium")
    app = web.Application()
    app.router.add_get("/playground/{name}", files.file)
    async with TestServer(app) as server, chromium(profile) as browser:
        yield await browser.open(str(server.make_url("/playground/icon.svg")))


@pytest_asyncio.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with _modules(tmp_path) as made:
        yield made


async def _run(page: Page, module: str, body: str, *values: Any) -> Any:
    """Evaluate `body` with the module as `m` and the values as `v`."""
    code = f"import('/playground/{module}.js').then((m) => {{ const v = {json.dumps(values)}; {body} }})"
    return await page.evaluate(code)


async def test_presets_survive_the_address(page: Page) -> None:
    params = {
        "text": "a cat, at night & 100% wool",
        "like_number": "1.5",
        "like_bool": "true",
        "like_null": "null",
        "quoted": '"said"',
        "empty": "",
        "umlaut": "grün ☂",
        "number": 0.1,
        "flag": False,
        "nothing": None,
        "list": [1, "b", [2]],
        "object": {"a": 1},
    }
    back = await _run(page, "presets", "return m.fromHash(m.toHash('effects', v[0]));", params)
    assert back == {"pipeline": "effects", "params": params}
    assert await _run(page, "presets", "return m.fromHash('');") == {"pipeline": "", "params": {}}
    back = await _run(page, "presets", "return m.fromJson(m.toJson('effects', v[0]));", params)
    assert back == {"pipeline": "effects", "params": params}


async def test_schema_becomes_fields(page: Page) -> None:
    schema = {
        "$defs": {"Mode": {"enum": ["soft", "hard"], "type": "string"}},
        "properties": {
            "mode": {"$ref": "#/$defs/Mode", "default": "soft", "description": "how"},
            "wrapped": {"allOf": [{"$ref": "#/$defs/Mode"}], "default": "hard"},
            "maybe": {
                "anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}],
                "default": None,
            },
            "text_or_blend": {
                "anyOf": [{"type": "string", "maxLength": 2000}, {"type": "array", "items": {}}],
                "default": "a fox",
            },
            "blend_or_text": {"anyOf": [{"type": "string"}, {"type": "array"}], "default": []},
            "steps": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            "amount": {"type": "number", "minimum": 0, "maximum": 1, "unit": "px", "x-live": False},
            "free": {"type": "number"},
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
            "soft_glow": {
                "type": "number",
                "minimum": 0,
                "maximum": 2,
                "group": "Soft",
                "title": "Soft Glow",
            },
            "tint": {"type": "string", "default": "#ff0000"},
            "prompt": {"type": "string"},
            "name": {"type": "string"},
            "shape": {"type": "array"},
        },
    }
    fields = await _run(page, "schema", "return m.fieldsOf(v[0], {amount: 0.25});", schema)
    by_name = {field["name"]: field for field in fields}
    assert {name: field["kind"] for name, field in by_name.items()} == {
        "mode": "choice",
        "wrapped": "choice",
        "maybe": "range",
        "steps": "range",
        "amount": "range",
        "free": "number",
        "seed": "number",
        "soft_glow": "range",
        "tint": "color",
        "prompt": "longtext",
        "name": "text",
        "shape": "json",
        "text_or_blend": "longtext",
        "blend_or_text": "json",
    }
    assert by_name["mode"]["choices"] == by_name["wrapped"]["choices"] == ["soft", "hard"]
    assert by_name["maybe"]["nullable"] is True
    assert (by_name["steps"]["min"], by_name["steps"]["max"], by_name["steps"]["step"]) == (1, 9, 1)
    amount = by_name["amount"]
    assert (amount["initial"], amount["step"], amount["unit"], amount["live"]) == (0.25, 0.01, "px", False)
    assert (by_name["soft_glow"]["label"], by_name["soft_glow"]["shownWhen"]) == (
        "Glow",
        {"field": "mode", "value": "soft"},
    )


async def test_page_and_runner_open_and_close_their_windows_alike(page: Page) -> None:
    chance = random.Random(11)
    times, now = [], 0.0
    for _ in range(400):
        now += chance.choice([0.005, 0.033, 0.05, 0.3])
        times.append(round(now, 3))
    ours, limits = Window(), []
    for time_s in times:
        if ours.room:
            ours.sent(time_s)
        else:
            ours.answered(time_s)
        limits.append(ours.limit)
    theirs = await _run(
        page,
        "window",
        """const w = new m.Window();
        return v[0].map((t) => { w.room ? w.sent(t * 1000) : w.answered(t * 1000); return w.limit; });""",
        times,
    )
    assert len(set(limits)) > 2, "the times are too dull to tell the two apart"
    assert theirs == limits


async def test_page_and_runner_write_the_same_messages(page: Page) -> None:
    written = await _run(
        page,
        "protocol",
        "return [...new Uint8Array(m.encode(m.PICTURE, 7, 2 ** 40 + 5, new Uint8Array([1, 2]).buffer))];",
    )
    assert bytes(written) == Binary(PICTURE, 7, 2**40 + 5, b"\x01\x02").encode()
    read = await _run(
        page,
        "protocol",
        "const r = m.decode(new Uint8Array(v[0]).buffer); return {...r, jpeg: [...r.jpeg]};",
        list(Binary(PICTURE, 9, 12_345_678_901, b"\x03", 1).encode()),
    )
    assert read == {"kind": 1, "isWaitingPicture": True, "seq": 9, "timeUs": 12_345_678_901, "jpeg": [3]}


STATES: tuple[tuple[dict[str, Any], dict[str, Any], str, str], ...] = (
    ({"state": "loading", "restarts": 0}, {"loadingMs": 4200}, "busy", "Loading effects… 4 s"),
    ({"state": "loading", "restarts": 2}, {}, "warn", "Restarted: loading effects again…"),
    ({"state": "reloading"}, {}, "busy", "effects reloads with the new parameters…"),
    (
        {"state": "restarting", "error": "killed"},
        {},
        "warn",
        "The worker went away: killed. A new one is starting",
    ),
    ({"state": "failed", "error": "no GPU"}, {}, "error", "effects gave up: no GPU"),
    ({"state": "ready"}, {"sinceFrameMs": 3000}, "busy", "Waiting for pictures from Camera"),
    ({"state": "ready"}, {"sinceResultMs": 3000}, "busy", "Waiting for effects"),
    ({"state": "ready"}, {"nextPipeline": "noop"}, "busy", "Switching to noop…"),
    ({"state": "ready"}, {"connected": False}, "busy", "Connecting…"),
    ({"state": "ready"}, {"connected": False, "measuring": True}, "busy", "Measuring this machine…"),
    ({"state": "ready"}, {}, "live", "Live"),
)


async def test_state_is_told_in_words(page: Page) -> None:
    calm = {
        "pipeline": "effects",
        "source": "Camera",
        "connected": True,
        "sinceResultMs": 10,
        "sinceFrameMs": 10,
        "loadingMs": 0,
        "nextPipeline": "",
    }
    stream = {"report": {"inference_status": {"last_error_time": None}}}
    facts = [calm | {"status": {"worker": worker, "stream": stream}} | more for worker, more, _, _ in STATES]
    told = await _run(page, "status", "return v[0].map(m.describe);", facts)
    assert told == [{"tone": tone, "words": words} for _, _, tone, words in STATES]


async def test_rates_and_quantiles(page: Page) -> None:
    rate = await _run(
        page,
        "meters",
        """const r = new m.Rate(); for (let i = 0; i <= 60; i += 1) r.tick(i * 50);
        return [r.perSecond(3000), r.perSecond(9000)];""",
    )
    assert rate == [pytest.approx(20), 0]
    recent = await _run(
        page,
        "meters",
        """const r = new m.Recent(5); for (const n of [9, 1, 2, 3, 4, 5]) r.add(n);
        return [r.ordered(), r.quantile(0.5), new m.Recent().quantile(0.5)];""",
    )
    assert recent == [[1, 2, 3, 4, 5], 3, None]
