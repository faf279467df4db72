"""Debian's Chromium, driven over the DevTools protocol: pages as users see them, without a test framework.

async with await Chromium.start() as chromium:
    page = await chromium.open("http://127.0.0.1:8080/")
    await page.wait_for("document.querySelector('video').currentTime > 0")
"""

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--remote-debugging-port=0",
)
SOUND_WITHOUT_GESTURE: Final = "--autoplay-policy=no-user-gesture-required"
START_SECONDS: Final = 30.0
CALL_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


class BrowserError(Exception):
    """The browser refused a command, or a script in the page threw."""


@dataclass
class Page:
    """One tab. ``problems`` collects what the console would show in red: errors, exceptions, failed loads."""

    _connection: "_Connection"
    _session: str
    target: str
    problems: list[str] = field(default_factory=list)

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the DevTools protocol. Raises BrowserError."""
        return await self._connection.call(method, parameters, self._session)

    async def go(self, url: str) -> None:
        """Navigate and wait until the page has loaded."""
        loaded = self._connection.expect(self._session, "Page.loadEventFired")
        answer = await self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        await asyncio.wait_for(loaded, CALL_SECONDS)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise. Raises BrowserError."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {_thrown(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    async def wait_for(self, expression: str, seconds: float = 20.0) -> Any:
        """Wait until ``expression`` is true and return its value; TimeoutError with what it was last."""
        value: Any = None
        try:
            async with asyncio.timeout(seconds):
                while not value:
                    value = await self.evaluate(expression)
                    if not value:
                        await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"after {seconds} s still {value!r}: {expression}; {self.problems}") from None
        return value

    async def click(self, element_id: str) -> None:
        """Click into the middle of an element, with all that a user's click allows a page to do."""
        x, y = await self.evaluate(
            f"""(() => {{
                const box = document.getElementById('{element_id}').getBoundingClientRect();
                return [box.left + box.width / 2, box.top + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """The size of the page in CSS pixels; a phone has a touch screen and two device pixels for each."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)

    async def prefer(self, **features: str) -> None:
        """Media features such as ``prefers_color_scheme="dark"``."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=listed)

    async def set_offline(self, is_offline: bool) -> None:
        """Take the page's network away: new requests fail. What is open already goes on."""
        await self.call(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))

    async def close(self) -> None:
        await self._connection.call("Target.closeTarget", {"targetId": self.target})

    def note(self, method: str, parameters: Mapping[str, Any]) -> None:
        """Keep an event if it is a problem."""
        if method == "Runtime.exceptionThrown":
            self.problems.append(_thrown(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            words = [str(value.get("value", value.get("description"))) for value in parameters["args"]]
            self.problems.append(" ".join(words))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            entry = parameters["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}".strip())


class Chromium:
    """A browser with a fresh profile. Get it from ``start``; leaving the block ends it."""

    def __init__(self, process: asyncio.subprocess.Process, connection: "_Connection", profile: Path) -> None:
        self._process = process
        self._connection = connection
        self._profile = profile

    @classmethod
    async def start(cls, *more_flags: str) -> Self:
        """Start ``chromium``. Raises BrowserError when it does not come up."""
        program = shutil.which("chromium")
        if program is None:
            raise BrowserError("chromium is not installed: apt-get install chromium")
        profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        process = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            *more_flags,
            f"--user-data-dir={profile}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            connection = await _Connection.open(await _devtools_address(process, profile))
        except BaseException:
            await _end(process, profile)
            raise
        return cls(process, connection, profile)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()
        await _end(self._process, self._profile)

    async def open(self, url: str = "about:blank", *, as_somebody_else: bool = False) -> Page:
        """A new tab at ``url``; ``as_somebody_else`` without the cookies and storage of the others."""
        place: dict[str, object] = {}
        if as_somebody_else:
            place = dict(await self._connection.call("Target.createBrowserContext", {}))
        created = await self._connection.call("Target.createTarget", {"url": "about:blank", **place})
        target = created["targetId"]
        attached = await self._connection.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self._connection, attached["sessionId"], target)
        self._connection.pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        if url != "about:blank":
            await page.go(url)
        return page


class _Connection:
    """The one WebSocket to the browser, shared by all its tabs."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.pages: dict[str, Page] = {}
        self._http = http
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._expected: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: str) -> Self:
        http = aiohttp.ClientSession()
        try:
            return cls(http, await http.ws_connect(address, max_msg_size=0))
        except BaseException:
            await http.close()
            raise

    async def call(
        self, method: str, parameters: Mapping[str, object], session: str | None = None
    ) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": dict(parameters)}
        if session is not None:
            message["sessionId"] = session
        await self._socket.send_json(message)
        return await asyncio.wait_for(answer, CALL_SECONDS)

    def expect(self, session: str, method: str) -> asyncio.Future[None]:
        """Done when the tab next fires ``method``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected[session, method] = future
        return future

    async def close(self) -> None:
        with contextlib.suppress(BrowserError, aiohttp.ClientError, TimeoutError):
            await self.call("Browser.close", {})
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        await self._socket.close()
        await self._http.close()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(message.json())
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(BrowserError("the browser is gone"))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"], None)
            if answer is None or answer.done():
                return
            if "error" in message:
                answer.set_exception(BrowserError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])
            return
        session, method = message.get("sessionId", ""), message["method"]
        expected = self._expected.pop((session, method), None)
        if expected is not None and not expected.done():
            expected.set_result(None)
        if (page := self.pages.get(session)) is not None:
            page.note(method, message["params"])


async def _devtools_address(process: asyncio.subprocess.Process, profile: Path) -> str:
    """Chromium writes the port it took, and the path, into its profile."""
    written = profile / "DevToolsActivePort"
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                if process.returncode is not None:
                    raise BrowserError(f"chromium ended with status {process.returncode}")
                lines = written.read_text().split() if written.exists() else []
                if len(lines) == 2:
                    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise BrowserError(f"chromium did not start within {START_SECONDS} s") from None


async def _end(process: asyncio.subprocess.Process, profile: Path) -> None:
    """The browser and its children are a process group of their own."""
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    shutil.rmtree(profile, ignore_errors=True)


def _thrown(details: Mapping[str, Any]) -> str:
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details.get("text"))
