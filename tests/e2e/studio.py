"""What tests do with the studio page."""

import re
from dataclasses import dataclass
from typing import Final

from tests.e2e.chatting import PASSWORD
from tests.helpers.chromium import Page
from tests.helpers.server_process import ServerProcess

FIGURES: Final = "document.getElementById('figures').innerText"
STATE: Final = "document.getElementById('studio').dataset.state"
PROBLEM: Final = "document.getElementById('problem-text').textContent"
NOT_SIGNED_IN: Final = "/api/v1/auth/session"
ENDED_BY_BOTH: Final = re.compile(r"404 .*/whep/.*/session/")


@dataclass(frozen=True, slots=True)
class Studio:
    """Somebody in front of the studio page."""

    server: ServerProcess
    page: Page

    async def open(self, query: str = "") -> None:
        await self.page.go(f"{self.server.base_url}/studio{query}")
        await self.page.wait_for("!document.getElementById('account').hidden")

    async def sign_in(self, name: str) -> None:
        await self.page.click("account")
        await self.page.evaluate(
            f"""(() => {{
                const form = document.querySelector('#chat-sheet-body form');
                form.elements.username.value = '{name}';
                form.elements.password.value = '{PASSWORD}';
                form.requestSubmit();
            }})()"""
        )
        await self.page.wait_for("document.getElementById('room-panel').checkVisibility()")

    async def turn_on(self) -> None:
        """Camera and microphone."""
        await self.page.evaluate("document.getElementById('start-sources').click()")
        await self.page.wait_for("document.getElementById('picture-preview').videoWidth > 0")

    async def go_live(self) -> None:
        await self.page.wait_for("!document.getElementById('go-live').disabled")
        await self.page.evaluate("document.getElementById('go-live').click()")
        await self.page.wait_for(f"{STATE} === 'live'")

    async def end(self) -> None:
        await self.page.evaluate("document.getElementById('go-live').click()")
        await self.page.wait_for(f"{STATE} === 'idle'")

    async def watch_url(self) -> str:
        return str(await self.page.evaluate("document.getElementById('watch-link').href"))

    async def press_in_stage(self, label: str) -> None:
        found = (
            f"[...document.querySelectorAll('#stage-people button')].find((b) => b.textContent === '{label}')"
        )
        await self.page.wait_for(f"{found} !== undefined")
        await self.page.evaluate(f"{found}.click()")

    def problems(self) -> list[str]:
        """What the console shows in red, but for the question whether somebody is signed in, and the ends of
        sessions that the server ended at the same time."""
        mine = [problem for problem in self.page.problems if NOT_SIGNED_IN not in problem]
        return [problem for problem in mine if not ENDED_BY_BOTH.search(problem)]
