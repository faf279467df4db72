"""A room's way in: addresses for the encoder, and the health of what it sends."""

from datetime import datetime
from http import HTTPStatus

from control_api.ports import IngestHealth
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Data
from control_api.services.ingest_health import IngestService


class WarningView(Data):
    """``code`` for programs, ``message`` for the streamer."""

    code: str
    message: str


class VideoView(Data):
    """``codec`` as in RFC 6381; ``keyframe_interval`` in seconds. 0 is not measured yet."""

    codec: str
    width: int
    height: int
    frame_rate: float
    keyframe_interval: float


class AudioView(Data):
    codec: str
    sample_rate: int
    channels: int


class HealthView(Data):
    """``bitrate`` in bit/s; ``skew`` is by how many seconds the audio is ahead of the video.

    ``is_interrupted`` while the encoder is away and may come back.
    """

    is_interrupted: bool
    started_at: datetime | None
    video: VideoView | None
    audio: AudioView | None
    bitrate: int
    skew: float
    warnings: list[WarningView]


class IngestView(Data):
    """``rtmp_url`` is the server in an encoder; the stream key goes into its own field there.

    ``health`` is null while nothing comes in.
    """

    rtmp_url: str
    whip_url: str
    health: HealthView | None


class IngestRoutes:
    def __init__(self, ingest: IngestService) -> None:
        self._ingest = ingest

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/rooms/{id}/ingest",
                self.get,
                "Where the encoder sends to, and how the stream comes in",
                Access.USER,
                response=IngestView,
                errors=((HTTPStatus.NOT_FOUND, "room_not_found"), (HTTPStatus.FORBIDDEN, "not_room_owner")),
                scope="rooms:read",
            )
        ]

    async def get(self, call: Call[None, None]) -> IngestView:
        ingest = await self._ingest.ingest(call.principal, call.path_id("id", "room"))
        health = health_view(ingest.health) if ingest.health is not None else None
        return IngestView(rtmp_url=ingest.rtmp_url, whip_url=ingest.whip_url, health=health)


def health_view(health: IngestHealth) -> HealthView:
    video, audio = health.video, health.audio
    return HealthView(
        is_interrupted=health.is_interrupted,
        started_at=health.started_at,
        video=VideoView(
            codec=video.codec,
            width=video.width,
            height=video.height,
            frame_rate=video.frame_rate,
            keyframe_interval=video.keyframe_interval,
        )
        if video is not None
        else None,
        audio=AudioView(codec=audio.codec, sample_rate=audio.sample_rate, channels=audio.channels)
        if audio is not None
        else None,
        bitrate=health.bitrate,
        skew=health.skew,
        warnings=[WarningView(code=each.code, message=each.message) for each in health.warnings],
    )
