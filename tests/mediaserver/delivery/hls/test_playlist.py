"""What the checker does not see: tokens in playlists."""

from mediaserver.delivery.hls.playlist import with_token


def test_a_token_goes_into_every_uri_and_nowhere_else():
    playlist = (
        b'#EXT-X-MAP:URI="x-v0.i0.mp4"\n#EXT-X-STREAM-INF:CODECS="avc1.64001f,mp4a.40.2"\nx-v0.s1.m4s\n'
    )
    expected = playlist.replace(b".mp4", b".mp4?token=a.mp4").replace(b".m4s", b".m4s?token=a.mp4")
    assert with_token(playlist, "a.mp4") == expected
