"""A publisher: video of a steady bitrate with keyframes, and audio, each packet stamped as it leaves."""

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import Final

from bench.webrtc_load.connection import PeerConnection, ntp_now
from bench.webrtc_load.descriptions import (
    AUDIO_MID,
    H264,
    MID_ID,
    OPUS,
    TRANSPORT_ID,
    VIDEO_MID,
    Sources,
)
from bench.webrtc_load.figures import PublisherFigures
from bench.webrtc_load.packets import (
    AUDIO_CLOCK,
    AUDIO_SECONDS,
    PARAMETER_SETS,
    VIDEO_CLOCK,
    RtpStream,
    audio_payload,
    stamp_now,
    video_payloads,
)
from sfu.protocol import rtcp
from sfu.protocol.errors import MalformedPacket
from sfu.srtp import SrtpSession

FRAMES_PER_SECOND: Final = 30
KEYFRAME_SECONDS: Final = 2.0
REPORT_SECONDS: Final = 1.0
AUDIO_BYTES: Final = 80
"""Of Opus at 32 kb/s."""
MAX_LATENESS: Final = 1.0
"""Further behind, a publisher goes on from now: a burst would measure nothing that happens."""


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """What every publisher sends."""

    bitrate: int
    """Of video, RTP headers included."""
    packet_bytes: int


class Publisher:
    """Behind one connection; `run` sends until it is cancelled."""

    def __init__(self, plan: MediaPlan) -> None:
        self.figures = PublisherFigures()
        self.connection: PeerConnection | None = None
        self.sources = Sources(*(secrets.randbits(30) << 1 | 1 for _ in range(3)))
        self._plan = plan
        self._audio = RtpStream(self.sources.audio, OPUS, AUDIO_MID, MID_ID, TRANSPORT_ID)
        self._video = RtpStream(self.sources.video, H264, VIDEO_MID, MID_ID, TRANSPORT_ID)
        self._transport_number = 0
        self._wants_keyframe = True
        self._keyframe_at = 0.0
        self._debt = 0.0
        """Packets of video that were due and not sent yet."""

    async def run(self) -> None:
        """Send frames at their times."""
        assert self.connection is not None and self.connection.srtp is not None
        srtp = self.connection.srtp
        started = time.monotonic()
        video_at = audio_at = report_at = started
        while True:
            await asyncio.sleep(max(0.0, min(video_at, audio_at) - time.monotonic()))
            now = time.monotonic()
            lateness = now - min(video_at, audio_at)
            self.figures.latest = max(self.figures.latest, lateness)
            if lateness > MAX_LATENESS:
                video_at = audio_at = now
            if now >= video_at:
                self._send_frame(srtp, now, video_at - started)
                video_at += 1 / FRAMES_PER_SECOND
            if now >= audio_at:
                self._send_audio(srtp, audio_at - started)
                audio_at += AUDIO_SECONDS
            if now >= report_at:
                self._send_reports()
                report_at += REPORT_SECONDS

    def _send_frame(self, srtp: SrtpSession, now: float, media_time: float) -> None:
        self._video.timestamp = int(media_time * VIDEO_CLOCK)
        is_keyframe = self._wants_keyframe or now - self._keyframe_at >= KEYFRAME_SECONDS
        if is_keyframe:
            self._wants_keyframe, self._keyframe_at = False, now
            self._send(srtp, self._video, PARAMETER_SETS, is_last=False)
        self._debt += self._plan.bitrate / 8 / self._plan.packet_bytes / FRAMES_PER_SECOND
        count = max(1, int(self._debt))
        self._debt -= count
        size = self._plan.packet_bytes - self._video.overhead
        payloads = video_payloads(count, size, is_keyframe=is_keyframe)
        for number, payload in enumerate(payloads, 1):
            self._send(srtp, self._video, payload + stamp_now(), is_last=number == count)

    def _send_audio(self, srtp: SrtpSession, media_time: float) -> None:
        self._audio.timestamp = int(media_time * AUDIO_CLOCK)
        self._send(srtp, self._audio, audio_payload(AUDIO_BYTES) + stamp_now(), is_last=False)

    def _send(self, srtp: SrtpSession, stream: RtpStream, payload: bytes, *, is_last: bool) -> None:
        assert self.connection is not None
        packet = stream.packet(payload, self._transport_number, is_last=is_last)
        self._transport_number += 1
        self.connection.send(srtp.protect(packet))
        self.figures.packets += 1
        self.figures.bytes += len(packet)

    def _send_reports(self) -> None:
        assert self.connection is not None
        for stream in (self._audio, self._video):
            report = rtcp.SenderReport(
                stream.ssrc, ntp_now(), stream.timestamp & 0xFFFFFFFF, stream.packets, stream.octets
            )
            names = rtcp.SourceDescription(((stream.ssrc, "bench"),))
            self.connection.send_rtcp(report.serialize() + names.serialize())

    # Media

    def on_rtp(self, packet: memoryview, at: int) -> None:
        """Nothing comes to a publisher."""

    def on_rtcp(self, compound: bytes) -> None:
        with contextlib.suppress(MalformedPacket):
            for event in rtcp.parse(compound):
                if isinstance(event, rtcp.PictureLossIndication | rtcp.FullIntraRequest):
                    self.figures.keyframe_requests += 1
                    self._wants_keyframe = True
                elif isinstance(event, rtcp.Nack):
                    self.figures.missed += len(event.lost)

    # Measuring

    def restart(self) -> None:
        """Begin the steady interval."""
        self.figures = PublisherFigures()

    def finish(self) -> PublisherFigures:
        """End the steady interval and return what was sent in it."""
        if self.connection is not None and self.connection.is_lost:
            self.figures.error = "ended by the server"
        return self.figures
