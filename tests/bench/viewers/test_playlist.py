import pytest

from bench.viewers.http1 import ResponseError
from bench.viewers.playlist import parse_media_playlist, parse_variants

LOW_LATENCY = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-VERSION:9
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.6,CAN-SKIP-UNTIL=12
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.000,
seg10.m4s
#EXT-X-PART:DURATION=0.5,URI="p11.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="p11.1.m4s"
#EXTINF:1.000,
seg11.m4s
#EXT-X-PART:DURATION=0.5,URI="p12.0,a.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p12.1.m4s"
"""


def test_a_low_latency_playlist():
    playlist = parse_media_playlist(LOW_LATENCY)
    assert (playlist.part_target, playlist.part_hold_back, playlist.hold_back) == (0.5, 1.6, 6.0)
    assert playlist.can_block and playlist.can_skip and not playlist.is_ended
    assert playlist.initialization == "init.mp4"
    assert [(s.sequence, s.uri, len(s.parts)) for s in playlist.segments] == [
        (10, "seg10.m4s", 0),
        (11, "seg11.m4s", 2),
        (12, "", 1),
    ]
    assert playlist.segments[2].parts[0].uri == "p12.0,a.m4s"
    assert playlist.segments[1].parts[0].is_independent


def test_skipped_segments_count():
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n"
    playlist = parse_media_playlist(head + "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:2,\na.ts\n")
    assert playlist.segments[0].sequence == 8


def test_an_ordinary_playlist_that_ended():
    playlist = parse_media_playlist("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n")
    assert playlist.is_ended and not playlist.can_block
    assert (playlist.part_target, playlist.hold_back) == (None, 12.0)


def test_variants():
    assert parse_variants("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/index.m3u8\n") == ("low/index.m3u8",)
    assert parse_variants(LOW_LATENCY) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "#EXTM3U\n#EXTINF:2,\na.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:two\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART:DURATION=1\n",
    ],
)
def test_what_is_no_media_playlist_is_refused(text):
    with pytest.raises(ResponseError, match="playlist"):
        parse_media_playlist(text)
