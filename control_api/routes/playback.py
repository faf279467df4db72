"""`POST /rooms/{id}/playback-token`: a token for one room, and its addresses."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from control_api.routing import Call, Route
from control_api.schemas import Data
from control_api.services.playback import Denial, PlaybackService


class PlaybackUrls(Data):
    """The room's addresses with the token in them."""

    flv: str
    ws_flv: str
    mp4: str
    hls: str
    whep: str
    rtmp: str


class PlaybackToken(Data):
    """``token`` opens the room until ``expires_at``; who watches then is not cut off."""

    token: str
    expires_at: datetime
    urls: PlaybackUrls


class PlaybackRoutes:
    def __init__(self, playback: PlaybackService) -> None:
        self._playback = playback

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/rooms/{id}/playback-token",
                self.issue,
                "Get a token to watch a room, if you may",
                response=PlaybackToken,
                errors=[
                    (HTTPStatus.NOT_FOUND, "room_not_found"),
                    *((HTTPStatus.FORBIDDEN, denial.value) for denial in Denial),
                ],
                scope="playback:read",
            )
        ]

    async def issue(self, call: Call[Any, Any]) -> PlaybackToken:
        granted = await self._playback.issue(call.principal, call.path_id("id", "room"))
        urls = PlaybackUrls(
            flv=granted.flv,
            ws_flv=granted.ws_flv,
            mp4=granted.mp4,
            hls=granted.hls,
            whep=granted.whep,
            rtmp=granted.rtmp,
        )
        return PlaybackToken(token=granted.token, expires_at=granted.expires_at, urls=urls)
