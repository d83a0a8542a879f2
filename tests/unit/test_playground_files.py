"""The page's files: complete, from nowhere else, and cached by content."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ai_runner_base.server import page

pytestmark = pytest.mark.unit

FOLDER = Path(str(files("ai_runner_base.server") / "playground"))
FILES = sorted(path.name for path in FOLDER.iterdir() if path.is_file())


@pytest_asyncio.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.router.add_get("/", page.show)
    app.router.add_get("/playground/{name}", page.file)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_page_comes_with_a_policy_that_allows_nothing_foreign(client: TestClient) -> None:
    answer = await client.get("/")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    first = await client.get("/playground/main.js")
    assert first.content_type == "text/javascript"
    again = await client.get("/playground/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "%2e%2e%2fapp.py", "__pycache__"])
async def test_other_paths_are_not_served(client: TestClient, name: str) -> None:
    assert (await client.get(f"/playground/{name}")).status == 404


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served(client: TestClient, name: str) -> None:
    answer = await client.get(f"/playground/{name}")
    assert answer.status == 200
    assert await answer.read() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_files_refer_to_files_that_are_there_and_to_no_host(name: str) -> None:
    text = (FOLDER / name).read_text()
    referred = re.findall(r"(?:from |import\(|new URL\()\"(?:\./)?([\w-]+\.js)\"", text)
    referred += re.findall(r"(?:src|href)=\"playground/([\w.-]+)\"", text)
    assert set(referred) <= set(FILES)
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']+", text) == []


def test_page_has_no_inline_script_or_style() -> None:
    text = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
