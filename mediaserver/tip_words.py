"""What may be written beside a tip: what the room's chat would let through."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from chat.errors import Refusal
from chat.moderation.rules import Action, judge
from chat.moderation.terms import CompiledTerms
from chat.moderation.text import clean
from control_api.errors import ApiError, unavailable
from storage.database import Executor
from storage.repositories.blocked_terms import BlockedTerm, BlockedTerms
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms

MAX_COMPILED: Final = 16
_BUSY: Final = "busy"


class ChatTipWords:
    """Implements TipWords. A tip is paid at once, so what would wait for a moderator is refused, too."""

    def __init__(self, database: Executor) -> None:
        self._people = ChatPeople(database)
        self._rooms = ChatRooms(database)
        self._terms = BlockedTerms(database)
        self._compiled: OrderedDict[tuple[BlockedTerm, ...], CompiledTerms] = OrderedDict()

    async def check(self, room_id: UUID, user_id: UUID, message: str) -> None:
        """Raises ApiError 403 ``message_refused``, 503."""
        person = await self._people.person(room_id, user_id)
        settings, _ = await self._rooms.settings(room_id)
        try:
            text = clean(message)
            terms = await self._compile(await self._terms.list(room_id))
            decision = judge(settings, person, text, datetime.now(UTC), term=await terms.match(text))
        except Refusal as refusal:
            raise _refused(refusal) from refusal
        if decision.refusal is not None:
            raise _refused(decision.refusal)
        if decision.action is Action.HOLD:
            raise _refused(Refusal("held", "The message would have to wait for a moderator."))

    async def _compile(self, terms: Sequence[BlockedTerm]) -> CompiledTerms:
        key = tuple(terms)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compiled[key] = await CompiledTerms.load(key)
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return compiled


def _refused(refusal: Refusal) -> ApiError:
    if refusal.code == _BUSY:
        return unavailable()
    text = f"{refusal.message} Tip with other words, or without any."
    return ApiError(HTTPStatus.FORBIDDEN, "message_refused", text)
