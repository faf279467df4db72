"""People who talk while something breaks, and how each of their messages was answered."""

import asyncio
from collections.abc import Sequence

from tests.chat.clients import Chat, Frame
from tests.chat.live_chat import unique
from tests.helpers.waiting import eventually

HEAL_SECONDS = 40.0


class Talkers:
    """Some who talk, each on a connection of their own, and how each of their messages was answered."""

    def __init__(self, chats: Sequence[Chat], room: str) -> None:
        self._room = room
        self.answers: dict[str, Frame] = {}
        self._is_over = False
        self._tasks = [asyncio.create_task(self._talk(chat)) for chat in chats]

    @property
    def acked(self) -> list[str]:
        return [text for text, answer in self.answers.items() if answer["t"] == "ack"]

    @property
    def refused(self) -> list[str]:
        return [text for text, answer in self.answers.items() if answer["t"] == "error"]

    async def end(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def more_acked(self, count: int = 20) -> None:
        wanted = len(self.acked) + count
        await eventually(lambda: len(self.acked) >= wanted, HEAL_SECONDS)

    async def some_refused(self) -> None:
        await eventually(lambda: self.refused, HEAL_SECONDS)

    async def _talk(self, chat: Chat) -> None:
        while not self._is_over:
            text = unique()
            self.answers[text] = await chat.ask("chat-message", roomId=self._room, message=text)
            if self.answers[text]["t"] == "error":
                assert self.answers[text]["d"]["code"] in ("unavailable", "busy", "rate_limited"), (
                    self.answers[text]
                )
                # Nobody may send more than a hundred frames a second.
                await asyncio.sleep(self.answers[text]["d"]["retryAfter"] / 2)
