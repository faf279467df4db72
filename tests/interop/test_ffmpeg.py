"""Published with ffmpeg, played with ffmpeg through every door: the same packets, unbroken."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers.ffmpeg import Clip, assert_is_part_of, packet_hashes, publishing
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.interop]

PLAY_SECONDS = 4.0
PLAYERS = 3
"""They wait for the clock, not for the machine."""
DOORS = {
    "flv": "http://127.0.0.1:{http}/live/{room}.flv",
    "mp4": "http://127.0.0.1:{http}/live/{room}.mp4",
    "ts": "http://127.0.0.1:{http}/live/{room}.ts",
    "hls": "http://127.0.0.1:{http}/hls/{room}/index.m3u8",
    "hls-ts": "http://127.0.0.1:{http}/hls/{room}/ts/index.m3u8",
    "rtmp": "rtmp://127.0.0.1:{rtmp}/live/{room}",
}
CASES = {
    "h264": tuple(DOORS),
    "b_frames": tuple(DOORS),
    "1080p60": ("flv", "mp4", "hls"),
    "audio_only": tuple(DOORS),
    "video_only": tuple(DOORS),
    "hevc": tuple(DOORS),
    "av1_opus": ("flv", "mp4", "hls", "rtmp"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_door_gives_what_was_published(server: ServerProcess, clips, case: str):
    clip = clips[case]
    room, key = server.create_room(case)
    with publishing(clip, f"{server.rtmp_url}/{key}"), ThreadPoolExecutor(PLAYERS) as players:
        server.wait_live(room)
        urls = {
            d: DOORS[d].format(http=server.http_port, rtmp=server.rtmp_port, room=room) for d in CASES[case]
        }
        playing = {
            door: players.submit(packet_hashes, url, codecs(clip), seconds=PLAY_SECONDS, program=clip.program)
            for door, url in urls.items()
        }
        played = {door: future.result() for door, future in playing.items()}
    published = packet_hashes(str(clip.path), codecs(clip), program=clip.program)
    for door in urls:
        for kind in codecs(clip):
            assert_is_part_of(played[door][kind], published[kind], at_least=50)


def codecs(clip: Clip) -> dict[str, str]:
    return {kind: codec for kind, codec in (("v", clip.video), ("a", clip.audio)) if codec}
