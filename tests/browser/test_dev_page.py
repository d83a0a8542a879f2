"""`ai-runner dev` as its author sees it: an edit, a mistake and a new parameter, in the page that stays open."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from tests._support.browser import chromium, find_chromium
from tests._support.browser_playground import Playground, difference, keep_picture

from ai_runner_base.authoring import Answers, create
from ai_runner_base.testing.live import runner

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

JPEG_ERROR = 14.0
LIMIT_S = 30
WORDS = "document.querySelector('#status').textContent"
PARAMETER = """
    tint: float = Field(0.0, ge=0, le=1, description="New while it runs")
"""


async def test_an_edit_a_mistake_and_a_new_parameter_show_in_the_open_page(tmp_path: Path) -> None:
    if find_chromium() is None:
        pytest.skip("no Chromium here and it cannot be installed: apt-get install chromium")
    (tmp_path / "profile").mkdir()
    create(tmp_path / "soft-focus", Answers("soft-focus", ["conda-forge"]))
    source = tmp_path / "soft-focus/src/soft_focus"
    pipeline, params = source / "pipeline.py", source / "params.py"
    good = pipeline.read_text()
    async with (
        runner(str(tmp_path / "soft-focus"), command="dev") as server,
        chromium(tmp_path / "profile") as browser,
        aiohttp.ClientSession() as http,
    ):
        browser.preload = "if (location.protocol === 'http:') localStorage.setItem('way', 'jpeg')"
        page = await Playground(server, browser, http).open()
        await difference(page, "inverted", JPEG_ERROR, LIMIT_S)

        pipeline.write_text(good.replace("return table[frame.array]", "return frame.array[..., ::-1].copy()"))
        await difference(page, "swapped", JPEG_ERROR, LIMIT_S)

        pipeline.write_text(good + "def broken(:\n")
        place = f"src/soft_focus/pipeline.py:{good.count(chr(10)) + 1}: SyntaxError"
        await page.wait_for(f"{WORDS}.includes({place!r})", LIMIT_S)
        await keep_picture(page, tmp_path, "dev-mistake")
        await difference(page, "swapped", JPEG_ERROR)

        params.write_text(params.read_text() + PARAMETER)
        pipeline.write_text(good)
        await difference(page, "inverted", JPEG_ERROR, LIMIT_S)
        await page.wait_for("document.querySelector('[data-name=tint] input') !== null", LIMIT_S)
        assert page.complaints == []
        assert len(await Playground(server, browser, http).streams()) == 1
