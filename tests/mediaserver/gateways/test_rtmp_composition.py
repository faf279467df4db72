from mediaserver.media.packet import TrackKind
from tests.mediaserver.gateways.rtmp_publishing import Room


async def test_a_frame_that_claims_to_be_shown_hours_later_is_shown_when_decoded() -> None:
    room = Room()
    encoder = room.publisher()
    encoder.begin()
    for at, offset in ((40, 8_388_607), (80, -8_388_608), (120, 10_000), (160, -10_001)):
        encoder.picture(at, is_keyframe=True, composition_time=offset)
    pictures = [packet for packet in room.output.packets if packet.track.kind is TrackKind.VIDEO]
    assert [(p.pts - p.dts) // 90 for p in pictures] == [0, 0, 0, 10_000, 0]
    assert room.counters.timestamp_repairs == 3
