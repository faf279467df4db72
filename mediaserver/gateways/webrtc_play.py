"""Streams of the hub as producers of their rooms' routers, for WebRTC viewers.

Rules:

* Whatever comes by another door than the router is offered there, as long as both exist. Making packets
  begins with the first consumer and ends with the last.
* Video with B-frames is refused as a whole, sound included: WebRTC shows frames in the order they come, and
  the player that is told so has better doors. Where a configuration allows them, a few frames are looked at
  before anything is offered.
* A stream that another publisher goes on with is judged anew; with the same codec and profile, viewers go on.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

import structlog

from mediaserver.gateways import webrtc_codecs
from mediaserver.gateways.webrtc_offers import AudioOffer, ReportClock, VideoOffer, WebRtcPlayCounters
from mediaserver.gateways.webrtc_ports import RoomRouter
from mediaserver.hub.hub import Hub
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.codecs import primary
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio import DECODERS
from sfu.errors import SfuError
from sfu.protocol.errors import ProtocolError
from sfu.protocol.parameters import Kind

FRAMES_LOOKED_AT: Final = 16
"""Encoders that use B-frames do so from the first frames on."""

logger = structlog.get_logger("mediaserver.webrtc")


class WebRtcPlay:
    """Brings routers and streams together. Implements ``hub.hub.HubListener``."""

    def __init__(self, hub: Hub, executor: Executor, is_publishing: Callable[[str], bool]) -> None:
        """``executor`` is that of all transcoders; ``is_publishing`` is ``WebRtcIngest.is_publishing``."""
        self.counters: Final = WebRtcPlayCounters()
        self._hub = hub
        self._executor = executor
        self._is_publishing = is_publishing
        self._routers: dict[str, RoomRouter] = {}
        self._offers: dict[str, ProgramOffer] = {}
        hub.add_listener(self)

    def watch(self, router: RoomRouter) -> None:
        """Offer what the room's stream has in ``router`` from now on, until ``forget``."""
        if router.room_id not in self._routers:
            self._routers[router.room_id] = router
            self._offer(router.room_id)

    def forget(self, room_id: str) -> None:
        """The router is closed, or closes next."""
        self._routers.pop(room_id, None)
        self._withdraw(room_id)

    def program_kinds(self, room_id: str) -> frozenset[Kind] | None:
        """What the router will have of the room's stream: nothing while that is not known yet.

        None if there is no such stream, if it comes from the router itself, or if it is refused.
        """
        stream = self._hub.find(room_id)
        if stream is None or self._is_publishing(room_id) or self.refusal(room_id) is not None:
            return None
        return offered_kinds(stream.tracks)

    def refusal(self, room_id: str) -> str | None:
        """Why the room's stream is not offered, None if it is (or there is none)."""
        offer = self._offers.get(room_id)
        return offer.refused if offer is not None else None

    def refusals(self) -> Mapping[str, str]:
        """Why streams are not offered, by room."""
        offers = self._offers.items()
        return {room_id: offer.refused for room_id, offer in offers if offer.refused is not None}

    # HubListener

    def started(self, room_id: str) -> None:
        self._offer(room_id)

    def ended(self, room_id: str, reason: str) -> None:
        self._withdraw(room_id)

    def _offer(self, room_id: str) -> None:
        router, stream = self._routers.get(room_id), self._hub.find_live(room_id)
        if router is None or stream is None or room_id in self._offers:
            return
        offer = ProgramOffer(stream, router, self._executor, self._is_publishing, self.counters)
        self._offers[room_id] = offer
        try:
            stream.attach(offer)
        except Exception:
            # Called while the stream starts, which concerns more than us.
            logger.exception("webrtc_offer_failed", room_id=room_id)
            self._withdraw(room_id)

    def _withdraw(self, room_id: str) -> None:
        offer = self._offers.pop(room_id, None)
        if offer is not None:
            offer.close()


def offered_kinds(tracks: Sequence[Track]) -> frozenset[Kind]:
    """What of ``tracks`` goes to WebRTC, as far as they tell."""
    video, audio = primary(tracks, TrackKind.VIDEO), primary(tracks, TrackKind.AUDIO)
    kinds: set[Kind] = set()
    if video is not None and webrtc_codecs.capability(video) is not None:
        kinds.add("video")
    if audio is not None and (audio.codec is Codec.OPUS or audio.codec in DECODERS):
        kinds.add("audio")
    return frozenset(kinds)


class ProgramOffer:
    """One stream in one router. Implements ``hub.ports.Output``."""

    def __init__(
        self,
        stream: Stream,
        router: RoomRouter,
        executor: Executor,
        is_publishing: Callable[[str], bool],
        counters: WebRtcPlayCounters,
    ) -> None:
        self.refused: str | None = None
        self._stream = stream
        self._router = router
        self._executor = executor
        self._is_publishing = is_publishing
        self._counters = counters
        self._clock = ReportClock()
        self._track: Track | None = None
        self._reordering: webrtc_codecs.Reordering | None = None
        self._frames_to_see = 0
        self._wants_audio = False
        self._video: VideoOffer | None = None
        self._audio: AudioOffer | None = None

    @property
    def viewer_count(self) -> int:
        return max(offer.consumers if offer is not None else 0 for offer in (self._video, self._audio))

    def close(self) -> None:
        """Take everything back, for good."""
        self._stream.detach(self)
        self._retract()

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        is_lost = self._stream.state is not StreamState.LIVE  # so far: its publisher may come back
        if is_lost or self._is_publishing(self._stream.room_id):
            self._retract()
            return
        kinds = offered_kinds(tracks)
        self._wants_audio = "audio" in kinds
        if not self._wants_audio:
            self._retract_audio()
        video = primary(tracks, TrackKind.VIDEO)
        if video is None or video != self._track:
            self._take(video)
        if self._frames_to_see == 0:
            self._begin()

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.track is not self._track and packet.track != self._track:
            return
        if self._reordering is None or self.refused is not None:
            return
        if self._reordering.add(packet.payload):
            self._refuse(webrtc_codecs.B_FRAMES)
            return
        if self._frames_to_see:
            self._frames_to_see -= 1
            if not self._frames_to_see:
                self._begin()
        if self._video is not None:
            self._video.add(packet)

    def on_interrupted(self) -> None:
        """Producers stay, for the publisher that may come back; what it sends is judged anew."""
        self._track = None

    def on_end(self) -> None:
        self._retract()

    # Offering

    def _take(self, video: Track | None) -> None:
        """Judge another video track, or none."""
        former = self._video.track if self._video is not None else None
        self._track, self.refused, self._reordering = video, None, None
        self._frames_to_see = 0
        if video is None:
            self._retract_video()
            return
        try:
            if webrtc_codecs.capability(video) is None:
                self._refuse(
                    f"{video.codec.value} video cannot be sent over WebRTC: publish H.264, AV1 or VP9"
                )
                return
            self._reordering = webrtc_codecs.reordering(video)
            packetize = webrtc_codecs.packetizer(video)
            is_unsure = webrtc_codecs.may_reorder(video)
        except MediaError as error:
            self._refuse(f"the video cannot be sent over WebRTC: {error}")
            return
        if self._video is not None and former is not None and webrtc_codecs.can_go_on(former, video):
            self._video.reconfigure(video, packetize)
            return
        self._retract_video()
        self._video = VideoOffer(self._stream, video, packetize, self._counters)
        self._frames_to_see = FRAMES_LOOKED_AT if is_unsure else 0

    def _begin(self) -> None:
        """Offer what is not offered yet."""
        if self.refused is not None or self._stream.state is StreamState.ENDED:
            return
        try:
            if self._video is not None and not self._video.is_begun and self._track is not None:
                codec = webrtc_codecs.capability(self._track)
                assert codec is not None
                self._video.begin(self._router.produce_local("video", codec, self._video), self._clock)
            if self._wants_audio and self._audio is None:
                self._audio = AudioOffer(self._stream, self._executor, self._counters, self._audio_failed)
                producer = self._router.produce_local("audio", webrtc_codecs.OPUS, self._audio)
                self._audio.begin(producer, self._clock)
        except (SfuError, ProtocolError) as error:
            self._refuse(f"the stream cannot be sent over WebRTC: {error}")

    def _refuse(self, reason: str) -> None:
        self._retract_video()
        self._retract_audio()
        self._frames_to_see = 0
        self.refused = reason
        self._counters.refused_streams += 1
        logger.warning("stream_not_offered", room_id=self._stream.room_id, reason=reason)

    def _audio_failed(self, reason: str) -> None:
        """The picture goes on without sound."""
        if self._audio is not None and self._stream.state is not StreamState.ENDED:
            logger.warning("audio_not_offered", room_id=self._stream.room_id, reason=reason)
        self._wants_audio = False
        self._retract_audio()

    def _retract(self) -> None:
        self._track, self._frames_to_see = None, 0
        self._wants_audio = False
        self.refused = None
        self._retract_video()
        self._retract_audio()

    def _retract_video(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def _retract_audio(self) -> None:
        audio, self._audio = self._audio, None
        if audio is not None:
            audio.close()
