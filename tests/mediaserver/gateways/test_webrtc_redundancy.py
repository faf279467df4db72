"""Redundant audio of a WebRTC publisher: the hub gets each frame once, and no copies."""

from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.hub.hub import Hub
from mediaserver.media.packet import Codec, TrackKind
from tests.helpers.encoded import encode
from tests.mediaserver.gateways.rtmp_publishing import RecordingOutput
from tests.sfu.linked_world import World, packet
from tests.sfu.protocol.red_payloads import red_payload
from tests.sfu.test_redundancy import OPUS_NUMBER, RED_NUMBER, redundant


async def test_the_hub_gets_the_frames_alone() -> None:
    world = World()
    sender = await world.connected()
    hub, output = Hub(grace_seconds=60), RecordingOutput()
    ingest = WebRtcIngest(hub)
    ingest.watch(world.router)
    sender.transport.produce("audio", redundant(), is_program=True)

    frames = [frame.payload for frame in encode(None, Codec.OPUS).of(TrackKind.AUDIO)][:30]
    for number, frame in enumerate(frames):
        wrapped = red_payload(frame, *frames[max(0, number - 2) : number])
        is_plain = number == 7
        payload_type, payload = (OPUS_NUMBER, frame) if is_plain else (RED_NUMBER, wrapped)
        sent = packet(number, ssrc=5000, payload_type=payload_type, timestamp=960 * number, payload=payload)
        sender.send_rtp(sent)
        world.run(0.02)

    stream = hub.find(world.router.room_id)
    assert stream is not None
    stream.attach(output)
    assert stream.statistics.packets == len(frames)
    cached = [found.payload for found in output.packets]
    assert cached == frames[-len(cached) :]
    assert output.tracks[-1][0].codec is Codec.OPUS
    ingest.forget(world.router.room_id)
