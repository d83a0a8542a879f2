"""A real Chromium, headless, driven over its DevTools protocol: just what the playground's tests and figures need."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

START_LIMIT_S = 30.0
CALL_LIMIT_S = 30.0
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
FAKE_CAMERA = ("--use-fake-device-for-media-stream=fps=30", "--use-fake-ui-for-media-stream")


def find_chromium() -> str | None:
    """Return the browser's program, installing Debian's package where that can be done without asking; else None."""
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    return found


def _install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    for command in (["apt-get", "update", "-qq"], install):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)


@dataclass
class Page:
    """One tab. What it complained about and what it asked for is kept.

    :param complaints: console errors and warnings, uncaught exceptions, refused policies
    :param requests: every address that the page, its workers and its sockets asked for
    """

    browser: Browser
    session: str
    target: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one DevTools command to this tab."""
        return await self.browser.call(method, params, self.session)

    async def evaluate(self, expression: str) -> Any:
        """Return the JSON value of an expression; a promise is awaited.

        :raises AssertionError: it throws
        """
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        problem = answer.get("exceptionDetails")
        if problem:
            raise AssertionError(
                f"{expression!r} threw {problem.get('exception', {}).get('description', problem)}"
            )
        return answer["result"].get("value")

    async def wait_for(self, expression: str, limit_s: float = 15.0) -> Any:
        """Wait until an expression is true, and return its value.

        :raises AssertionError: it was not in time; tells what the page shows
        """
        value: Any = None
        try:
            async with asyncio.timeout(limit_s):
                while not (value := await self.evaluate(expression)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(
                f"after {limit_s:g} s {expression!r} is {value!r}; complaints: {self.complaints}; page:\n{shown}"
            ) from None
        return value

    async def screenshot(self, **options: Any) -> bytes:
        """Return what is seen as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", **options)
        return base64.b64decode(answer["data"])

    async def resize(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        """Give the page a size in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    async def use_scheme(self, scheme: str) -> None:
        """Make ``prefers-color-scheme`` ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def press(self, key: str, code: int = 0) -> None:
        """Press and let go one key."""
        text = {"text": key} if len(key) == 1 else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def close(self) -> None:
        """Close the tab, as a person does."""
        await self.browser.call("Target.closeTarget", {"targetId": self.target})

    def foreign_requests(self, own: str) -> list[str]:
        """Return what was asked of any other host than that of `own`."""
        host = urlsplit(own).netloc
        ours = ("data:", "blob:", "chrome:", "about:", "devtools:")
        return [url for url in self.requests if not url.startswith(ours) and urlsplit(url).netloc != host]


class Browser:
    """A running Chromium and the socket to it. Made by `chromium`."""

    def __init__(self, process: asyncio.subprocess.Process, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.process = process
        self.preload = ""
        """A script that every page runs before its own."""
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reading = asyncio.create_task(self._read(), name="devtools")

    async def call(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Send one command and return its result."""
        number = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        message = {"id": number, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        return await asyncio.wait_for(answer, CALL_LIMIT_S)

    async def open(self, url: str = "about:blank", *, width: int = 1280, height: int = 860) -> Page:
        """Open a window, so that no other page is hidden by it, and follow everything it does from the start."""
        made = await self.call("Target.createTarget", {"url": "about:blank", "newWindow": True})
        attached = await self.call("Target.attachToTarget", {"targetId": made["targetId"], "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"], made["targetId"])
        for domain in ("Runtime", "Page", "Network", "Log"):
            await page.call(f"{domain}.enable")
        await page.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        await page.resize(width, height)
        if self.preload:
            await page.call("Page.addScriptToEvaluateOnNewDocument", source=self.preload)
        if url != "about:blank":
            await page.call("Page.navigate", url=url)
            await page.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")
        return page

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(json.loads(message.data))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answer(message)
            return
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None:
            self._note(page, message["method"], message["params"])

    def _answer(self, message: dict[str, Any]) -> None:
        answer = self._answers.pop(message["id"], None)
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(RuntimeError(f"DevTools: {message['error']['message']}"))
        else:
            answer.set_result(message["result"])

    def _note(self, page: Page, method: str, event: dict[str, Any]) -> None:
        match method:
            case "Target.attachedToTarget":
                self._pages[event["sessionId"]] = page
                for domain in ("Runtime", "Network"):
                    asyncio.get_running_loop().create_task(self._enable(domain, event["sessionId"]))
            case "Network.requestWillBeSent":
                page.requests.append(event["request"]["url"])
            case "Network.webSocketCreated":
                page.requests.append(event["url"].replace("ws", "http", 1))
            case "Runtime.consoleAPICalled" if event["type"] in ("error", "warning", "assert"):
                page.complaints.append(
                    " ".join(str(a.get("value", a.get("description"))) for a in event["args"])
                )
            case "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                page.complaints.append(str(details.get("exception", {}).get("description", details["text"])))
            case "Log.entryAdded" if event["entry"]["level"] in ("error", "warning"):
                page.complaints.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")

    async def _enable(self, domain: str, session: str) -> None:
        with contextlib.suppress(RuntimeError, TimeoutError):  # the worker may be gone already
            await self.call(f"{domain}.enable", {}, session)

    def kill(self) -> None:
        """End all of its processes at once, as a crash does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def aclose(self) -> None:
        """End the browser; nothing of it is left."""
        self.kill()
        await self.process.wait()
        await self._socket.close()
        await asyncio.gather(self._reading, return_exceptions=True)


@contextlib.asynccontextmanager
async def chromium(profile: Path, *flags: str) -> AsyncIterator[Browser]:
    """Start a browser with a fresh profile.

    :param profile: an empty folder
    :param flags: such as `FAKE_CAMERA`
    """
    program = find_chromium()
    if program is None:
        raise RuntimeError("no Chromium here")
    process = await asyncio.create_subprocess_exec(
        program,
        *_FLAGS,
        *flags,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    async with aiohttp.ClientSession() as http:
        browser: Browser | None = None
        try:
            address = await _address(process, profile / "DevToolsActivePort")
            browser = Browser(process, await http.ws_connect(address, max_msg_size=0, heartbeat=None))
            yield browser
        finally:
            if browser is not None:
                await browser.aclose()
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def _address(process: asyncio.subprocess.Process, port_file: Path) -> str:
    async with asyncio.timeout(START_LIMIT_S):
        while process.returncode is None:
            if address := _read_address(port_file):
                return address
            await asyncio.sleep(0.05)
    raise RuntimeError(f"Chromium ended with {process.returncode}")


def _read_address(port_file: Path) -> str:
    lines = port_file.read_text().split() if port_file.exists() else []
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else ""
