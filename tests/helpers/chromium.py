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
import subprocess
import tempfile
import time
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


class ChromiumProcess:
    """A browser with a fresh profile, for one ``Chromium`` after the other; a context manager.

    ``address`` is where it speaks the DevTools protocol.
    """

    def __init__(self, *more_flags: str) -> None:
        self.address = ""
        self._flags = (*FLAGS, *more_flags)
        self._process: subprocess.Popen[bytes] | None = None
        self._profile = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start ``chromium``. Raises BrowserError when it does not come up."""
        program = shutil.which("chromium")
        if program is None:
            raise BrowserError("chromium is not installed: apt-get install chromium")
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._process = subprocess.Popen(
            [program, *self._flags, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.address = self._written_address(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the browser and its children, a process group of their own, and remove its profile."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        shutil.rmtree(self._profile, ignore_errors=True)

    def _written_address(self, process: subprocess.Popen[bytes]) -> str:
        """Chromium writes the port it took, and the path, into its profile."""
        written = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrowserError(f"chromium ended with status {process.returncode}")
            lines = written.read_text().split() if written.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(POLL_SECONDS)
        raise BrowserError(f"chromium did not start within {START_SECONDS} s")


class Chromium:
    """Somebody's browser, without cookies or storage at first. Leaving the block closes all its tabs.

    Get it from ``start``, or from ``share`` where the process serves others before and after.
    """

    def __init__(self, connection: "_Connection", process: ChromiumProcess | None) -> None:
        self._connection = connection
        self._process = process
        self._people: list[str] = []

    @classmethod
    async def start(cls, *more_flags: str) -> Self:
        """In a process of its own. Raises BrowserError when it does not come up."""
        process = ChromiumProcess(*more_flags)
        await asyncio.to_thread(process.start)
        try:
            return await cls._of(await _Connection.open(process.address), process)
        except BaseException:
            await asyncio.to_thread(process.stop)
            raise

    @classmethod
    async def share(cls, process: ChromiumProcess) -> Self:
        """In a process that goes on."""
        return await cls._of(await _Connection.open(process.address), None)

    @classmethod
    async def _of(cls, connection: "_Connection", process: ChromiumProcess | None) -> Self:
        chromium = cls(connection, process)
        await chromium._add_person()
        return chromium

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for person in self._people:
                with contextlib.suppress(BrowserError, aiohttp.ClientError, TimeoutError):
                    await self._connection.call("Target.disposeBrowserContext", {"browserContextId": person})
            await self._connection.close()
        finally:
            if self._process is not None:
                await asyncio.to_thread(self._process.stop)

    async def _add_person(self) -> str:
        created = await self._connection.call("Target.createBrowserContext", {})
        person = str(created["browserContextId"])
        self._people.append(person)
        return person

    async def open(self, url: str = "about:blank", *, as_somebody_else: bool = False) -> Page:
        """A new tab at ``url``; ``as_somebody_else`` without the cookies and storage of the others."""
        person = await self._add_person() if as_somebody_else else self._people[0]
        place = {"url": "about:blank", "browserContextId": person}
        created = await self._connection.call("Target.createTarget", place)
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


def _thrown(details: Mapping[str, Any]) -> str:
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details.get("text"))
