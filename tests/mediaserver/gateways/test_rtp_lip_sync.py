"""Sound and picture of a browser stay together on their way to HLS and FLV."""

import pytest

from mediaserver.gateways.rtp_clock import PublisherClock
from mediaserver.gateways.rtp_frames import RtpPayload
from mediaserver.gateways.rtp_opus import OPUS_HEAD, opus_frame
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio import AudioConverter
from tests.mediaserver.transcode.clicks import decode, encode, find_clicks, sound

NTP = 3_900_000_000 << 32
FLASHES = (1.5, 2.0, 2.7, 3.4)
MAX_SKEW_SECONDS = 0.04


def _ntp(seconds: float) -> int:
    return NTP + round(seconds * (1 << 32))


@pytest.mark.parametrize("picture_late", [0.0, 0.25])
@pytest.mark.parametrize("sound_late", [0.0, 0.15])
def test_clicks_are_where_the_flashes_are(picture_late: float, sound_late: float) -> None:
    """Packets come late, by different times; reports of the first second put it right."""
    clock = PublisherClock()
    video, audio = clock.track(90_000), clock.track(48_000)
    video_base, audio_base = 123_456, 0xFFFF_F000
    track = Track(1, TrackKind.AUDIO, Codec.OPUS, 48_000, OPUS_HEAD)
    placed_sounds: list[MediaPacket] = []
    for packet in encode(sound(4, FLASHES, 48_000), Codec.OPUS):
        at = packet.pts / 48_000
        frame = opus_frame(RtpPayload(0, audio_base + packet.pts, False, packet.payload, at + sound_late))
        assert frame is not None
        dts = audio.place(frame.timestamp, frame.received_at)
        placed_sounds.append(MediaPacket(track, dts, dts, True, frame.payload, frame.received_at))
        if not packet.pts // 960 % 25:
            audio.sender_report(_ntp(at), (audio_base + packet.pts) & 0xFFFF_FFFF)
            video.sender_report(_ntp(at), video_base + round(at * 90_000))
            video.place(video_base + round(at * 90_000), at + picture_late)
    now = 4 + picture_late
    offset = video.place(video_base + 4 * 90_000, now) / 90_000 - 4
    aac = AudioConverter(Codec.AAC).convert(placed_sounds)
    clicks = [click - offset for click in find_clicks(decode(aac))]
    assert clicks == pytest.approx(FLASHES, abs=MAX_SKEW_SECONDS)
