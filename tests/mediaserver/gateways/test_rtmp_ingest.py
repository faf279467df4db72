from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from mediaserver.gateways.rtmp_ingest import MAX_TRACKS, NOT_CARRIED, REPLACED, RtmpIngest
from mediaserver.hub.hub import Hub
from mediaserver.media.packet import Codec, TrackKind
from rtmp.ports import PublishGrant
from rtmp.protocol import flv_tags
from rtmp.protocol.errors import FlvTagError
from rtmp.protocol.flv_tags import AudioTag, PacketKind, VideoTag
from tests.mediaserver.gateways.rtmp_publishing import ROOM, RecordingConnection, Room
from tests.mediaserver.media.codecs import vectors

VIDEO_ALONE = {"videocodecid": 7.0}
AUDIO_ALONE = {"audiocodecid": 10.0}


@pytest.fixture
async def room() -> Room:
    return Room()


def _codecs(room: Room) -> list[tuple[int, Codec]]:
    stream = room.hub.find_live(ROOM)
    return [(track.id, track.codec) for track in stream.tracks] if stream is not None else []


async def test_opens_a_stream_in_the_granted_room() -> None:
    hub = Hub()
    RtmpIngest(hub).open(PublishGrant("elsewhere"), RecordingConnection())
    assert hub.find("elsewhere") is not None
    assert hub.find_live("elsewhere") is None


# Tracks


async def test_tags_become_packets_of_their_tracks(room: Room) -> None:
    encoder = room.publisher()
    encoder.video_config()
    encoder.audio_config()
    encoder.picture(0, is_keyframe=True, composition_time=80, payload=b"key")
    encoder.sound(5, payload=b"tone")
    encoder.picture(40, composition_time=-40, payload=b"inter")
    [tracks] = room.output.tracks
    assert [(track.kind, track.codec, track.clock_rate, track.config) for track in tracks] == [
        (TrackKind.VIDEO, Codec.H264, 90_000, vectors.H264_720P),
        (TrackKind.AUDIO, Codec.AAC, 48_000, vectors.AAC_STEREO),
    ]
    assert [(p.track.id, p.dts, p.pts, p.is_keyframe, p.payload) for p in room.output.packets] == [
        (0, 0, 7_200, True, b"key"),
        (1, 240, 240, True, b"tone"),
        (0, 3_600, 0, False, b"inter"),
    ]
    assert (room.counters.packets, room.counters.bytes, room.counters.dropped_packets) == (3, 12, 0)


async def test_audio_that_comes_late_is_waited_for_and_nothing_is_lost(room: Room) -> None:
    encoder = room.publisher()
    encoder.video_config()
    for frame in range(10):
        encoder.picture(frame * 40, is_keyframe=frame == 0)
    assert room.output.packets == []
    encoder.audio_config()
    encoder.sound(370)
    assert [len(tracks) for tracks in room.output.tracks] == [2]
    assert room.output.times(0) == [frame * 40 for frame in range(10)]
    assert room.output.times(1) == [370]


async def test_audio_after_the_first_second_is_announced_when_it_comes(room: Room) -> None:
    encoder = room.publisher()
    encoder.video_config()
    for frame in range(30):
        encoder.picture(frame * 40, is_keyframe=frame == 0)
    assert len(room.output.packets) == 30
    encoder.audio_config(at=1_200)
    encoder.sound(1_200)
    assert [len(tracks) for tracks in room.output.tracks] == [1, 2]
    assert room.output.packets[-1].track == room.output.tracks[-1][1]


@pytest.mark.parametrize("metadata", [VIDEO_ALONE, AUDIO_ALONE])
async def test_a_kind_that_is_not_announced_is_not_waited_for(
    room: Room, metadata: dict[str, object]
) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(metadata)
    if metadata is VIDEO_ALONE:
        encoder.video_config()
        encoder.picture(0, is_keyframe=True)
    else:
        encoder.audio_config()
        encoder.sound(0)
    assert len(room.output.packets) == 1


async def test_a_changed_configuration_is_a_changed_track(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.video_config(at=40)
    assert len(room.output.tracks) == 1
    encoder.video_config(vectors.H264_1080P_BASELINE, at=40)
    encoder.picture(40, is_keyframe=True)
    assert [tracks[0].config for tracks in room.output.tracks] == [
        vectors.H264_720P,
        vectors.H264_1080P_BASELINE,
    ]
    assert room.output.packets[-1].track == room.output.tracks[-1][0]
    assert room.output.times(0) == [0, 40]


async def test_a_changed_codec_takes_over_the_track(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.video_config(vectors.HEVC_360P, flv_tags.HEVC, at=40)
    encoder.audio_config(vectors.OPUS_STEREO, flv_tags.OPUS, at=40)
    encoder.picture(40, is_keyframe=True, codec=flv_tags.HEVC)
    encoder.sound(21, payload=b"\xfc\x00", codec=flv_tags.OPUS)
    assert _codecs(room) == [(0, Codec.HEVC), (1, Codec.OPUS)]
    assert (room.output.times(0), room.output.times(1)) == ([0, 40], [0, 21])


async def test_frames_of_another_codec_than_announced_are_dropped(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.picture(40, codec=flv_tags.HEVC)
    encoder.sound(40, codec=flv_tags.OPUS)
    assert len(room.output.packets) == 2
    assert room.counters.dropped_packets == 2


async def test_mp3_after_aac_makes_itself_known(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.sound(40, payload=vectors.MP3_FRAME, codec=flv_tags.MP3)
    assert _codecs(room)[1] == (1, Codec.MP3)
    assert [p.track.clock_rate for p in room.output.packets if p.track.id == 1] == [48_000, 44_100]


async def test_an_empty_sequence_header_before_ac3_means_nothing(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(AUDIO_ALONE)
    encoder.audio(AudioTag(flv_tags.AC3, PacketKind.SEQUENCE_START, b""), 0)  # as ffmpeg sends it
    encoder.sound(0, payload=vectors.AC3_FRAME, codec=flv_tags.AC3)
    [packet] = room.output.packets
    assert (packet.track.codec, packet.track.config) == (Codec.AC3, vectors.AC3_RECORD)


async def test_frames_before_their_sequence_header_are_dropped_and_counted(room: Room) -> None:
    encoder = room.publisher()
    encoder.picture(0, is_keyframe=True)
    encoder.sound(0)
    encoder.video_config(at=40)
    encoder.picture(40)
    encoder.audio_config(at=40)
    encoder.sound(40)
    assert room.counters.dropped_packets == 2
    assert [len(tracks) for tracks in room.output.tracks] == [2]
    assert len(room.output.packets) == 2


async def test_empty_frames_are_dropped(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.picture(40, payload=b"")
    encoder.sound(40, payload=b"")
    assert len(room.output.packets) == 2
    assert room.counters.dropped_packets == 2


async def test_a_publisher_that_never_sends_a_keyframe_is_passed_on(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(VIDEO_ALONE)
    encoder.video_config()
    for frame in range(5):
        encoder.picture(frame * 40)
    assert [packet.is_keyframe for packet in room.output.packets] == [False] * 5


async def test_all_tracks_of_a_multitrack_publisher_are_carried(room: Room) -> None:
    encoder = room.publisher()
    for track in (0, 1):
        encoder.video_config(track=track)
        encoder.audio_config(track=track)
    for track in (0, 1):
        encoder.picture(0, is_keyframe=True, track=track)
        encoder.sound(0, track=track)
    assert [track_id for track_id, _ in _codecs(room)] == [0, 1, 2, 3]
    assert Counter(packet.track.id for packet in room.output.packets) == {0: 1, 1: 1, 2: 1, 3: 1}


async def test_tracks_are_bounded(room: Room) -> None:
    encoder = room.publisher()
    for track in range(MAX_TRACKS):
        encoder.video_config(track=track)
    encoder.video_config(vectors.H264_NTSC, track=0)
    with pytest.raises(FlvTagError, match="tracks"):
        encoder.video_config(track=MAX_TRACKS)


async def test_av1_loses_its_temporal_delimiters(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(VIDEO_ALONE)
    encoder.video_config(vectors.AV1_360P, flv_tags.AV1)
    encoder.picture(0, is_keyframe=True, payload=vectors.AV1_FRAME, codec=flv_tags.AV1)
    assert vectors.AV1_FRAME.startswith(b"\x12\x00")
    assert [packet.payload for packet in room.output.packets] == [vectors.AV1_FRAME[2:]]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (VideoTag("avc1", PacketKind.SEQUENCE_START, True, 0, b"\x01\x64"), "h264 configuration"),
        (VideoTag("hvc1", PacketKind.SEQUENCE_START, True, 0, b""), "hevc configuration"),
        (AudioTag("mp4a", PacketKind.SEQUENCE_START, b"\xff"), "aac configuration"),
        (AudioTag("Opus", PacketKind.SEQUENCE_START, b"OpusHead"), "opus configuration"),
        (AudioTag(".mp3", PacketKind.FRAME, b"not an MP3 frame"), "mp3 frame"),
    ],
)
async def test_what_cannot_be_read_is_named(room: Room, tag: VideoTag | AudioTag, text: str) -> None:
    encoder = room.publisher()
    with pytest.raises(FlvTagError, match=text):
        encoder.video(tag, 0) if isinstance(tag, VideoTag) else encoder.audio(tag, 0)


# Metadata


async def test_changed_metadata_is_announced_and_tracks_stay(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata({"encoder": "one"})
    encoder.begin()
    assert room.output.metadata == {"encoder": "one"}
    encoder.publication.metadata({"encoder": "one"})
    assert len(room.output.tracks) == 1
    encoder.publication.metadata({"encoder": "two"})
    assert room.output.metadata == {"encoder": "two"}
    assert room.output.tracks[0] == room.output.tracks[1]


async def test_metadata_is_bounded(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata({f"field {number}": number for number in range(10_000)})
    encoder.begin()
    assert len(room.output.metadata) == 256


# Codecs that are not carried


def _warnings(logs: Sequence[Mapping[str, Any]], event: str) -> list[str]:
    return [entry["reason"] for entry in logs if entry["event"] == event]


async def test_an_unknown_codec_is_said_once_and_costs_its_track_only(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(VIDEO_ALONE)
    with capture_logs() as logs:
        encoder.video_config()
        for frame in range(100):
            encoder.picture(frame * 40, is_keyframe=frame == 0)
            encoder.publication.audio(frame * 40, b"\xb2speex")
            encoder.sound(frame * 40, payload=b"\x0b\x77", codec=flv_tags.EAC3)
    assert _warnings(logs, "codec_not_carried") == [
        "sound format 11 is not supported",
        "codec 'ec-3' is not supported",
    ]
    assert len(room.output.packets) == 100
    assert room.counters.dropped_packets == 200
    assert encoder.connection.closed_with == []


async def test_a_publisher_with_nothing_to_carry_is_told_so_and_closed(room: Room) -> None:
    encoder = room.publisher()
    with capture_logs() as logs:
        for frame in range(100):
            encoder.video_config(b"config", flv_tags.VVC, at=frame * 40)
            encoder.publication.audio(frame * 40, b"\xb2speex")
    reasons = "codec 'vvc1' is not supported, sound format 11 is not supported"
    assert encoder.connection.closed_with == [(NOT_CARRIED, f"nothing here can be carried: {reasons}")]
    assert _warnings(logs, "publisher_not_carried") == [reasons]
    assert room.hub.find(ROOM) is None
    assert room.output.states == ["ended"]


async def test_a_codec_that_is_carried_may_come_within_the_first_second(room: Room) -> None:
    encoder = room.publisher()
    encoder.publication.metadata(AUDIO_ALONE)
    for at in range(0, 1_000, 40):
        encoder.publication.video(at, b"\x22\x00\x00")
    encoder.audio_config(at=990)
    for at in range(1_000, 3_000, 40):
        encoder.publication.video(at, b"\x22\x00\x00")
        encoder.sound(at)
    assert encoder.connection.closed_with == []
    assert len(room.output.packets) == 50


# Time


@pytest.mark.parametrize("wrap", [2**32, 2**31])
async def test_time_goes_on_over_the_wrap(room: Room, wrap: int) -> None:
    encoder = room.publisher()
    start = wrap - 100
    encoder.begin(at=start)
    for at in range(40, 400, 40):
        encoder.picture((start + at) % wrap)
    assert room.output.times(0) == list(range(0, 400, 40))
    assert room.counters.timestamp_repairs == 0


async def test_a_jump_is_repaired_and_counted(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    for start in (20, 3_600_000):
        for frame in range(1, 50):
            encoder.picture(start + frame * 20)
            encoder.sound(start + frame * 20 + 1)
    video, audio = room.output.times(0), room.output.times(1)
    assert max(later - earlier for earlier, later in pairwise(video)) <= 40
    assert video[-1] == pytest.approx(2 * 50 * 20, abs=40)
    assert audio[-1] == pytest.approx(video[-1], abs=100)
    assert room.counters.timestamp_repairs == 1


# Publishers come and go


async def test_whoever_resumes_goes_on_after_the_last(room: Room) -> None:
    first = room.publisher()
    first.begin(at=500_000)
    first.picture(500_040)
    first.publication.closed(is_clean=False)
    assert room.output.states == ["interrupted"]
    second = room.publisher()
    second.begin(at=7_000)
    second.picture(7_040)
    video, audio = room.output.times(0), room.output.times(1)
    assert video[:2] == [0, 40]
    assert video[2] >= 140
    assert [video[3] - video[2], audio[1] - video[2]] == [40, 0]
    assert room.counters.timestamp_repairs == 0


async def test_a_second_publisher_takes_over(room: Room) -> None:
    first = room.publisher()
    first.begin()
    second = room.publisher()
    assert [code for code, _ in first.connection.closed_with] == [REPLACED]
    first.picture(40)
    first.publication.metadata({"encoder": "late"})
    second.begin()
    assert len(room.output.packets) == 4
    assert room.output.metadata == {}
    stream = room.hub.find_live(ROOM)
    first.publication.closed(is_clean=True)
    assert stream is not None
    assert room.hub.find_live(ROOM) is stream


async def test_a_publisher_that_is_kicked_is_told_why(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    assert room.hub.kick(ROOM, "the key was changed")
    assert [description for _, description in encoder.connection.closed_with] == ["the key was changed"]
    assert room.output.states == ["ended"]
    encoder.picture(40)
    assert len(room.output.packets) == 2


async def test_goodbye_ends_the_stream(room: Room) -> None:
    encoder = room.publisher()
    encoder.begin()
    encoder.publication.closed(is_clean=True)
    encoder.publication.closed(is_clean=False)
    assert room.output.states == ["ended"]
    assert room.hub.find(ROOM) is None


async def test_goodbye_while_gathering_gives_out_what_was_held(room: Room) -> None:
    encoder = room.publisher()
    encoder.video_config()
    encoder.picture(0, is_keyframe=True)
    encoder.publication.closed(is_clean=True)
    assert len(room.output.packets) == 1
    assert room.output.states == ["ended"]
