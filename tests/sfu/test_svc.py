"""Scalable streams, VP9 as Chromium sends it: layers are left out so that what is left can be decoded."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from sfu.consumer import Consumer, Layers
from sfu.packet_layers import LayerReader, StreamPacket
from sfu.protocol import rtcp, rtp
from sfu.protocol.parameters import RtpEncodingParameters
from sfu.protocol.payloads import vp9
from sfu.protocol.simulcast import MAX_TEMPORAL, NONE
from tests.sfu.linked_world import Peer, World, packet, video
from tests.sfu.protocol.payloads.descriptors import extended, mandatory
from tests.sfu.protocol.payloads.test_dependency_descriptor import L1T3

SPATIAL = 3
PATTERN = ((0, 4), (2, 1), (1, 2), (2, 1))
"""Temporal layer of each picture, and how many pictures back is the one that it refers to."""
DESCRIPTOR = 12


class Scene(NamedTuple):
    world: World
    sender: Peer
    viewer: Peer
    consumer: Consumer


async def scene(mode: str, layers: Layers) -> Scene:
    """Somebody who sends VP9 of three spatial layers, and a viewer of `layers`."""
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.2")
    one = RtpEncodingParameters(ssrc=1000, scalability_mode=mode)
    producer = sender.transport.produce("video", video(one, mime_type="video/VP9"))
    assert producer.type == "svc"
    consumer = viewer.transport.consume(
        producer.id, world.router.rtp_capabilities, paused=False, preferred_layers=layers
    )
    consumer.set_target(*layers)
    return Scene(world, sender, viewer, consumer)


def _flexible(number: int, spatial: int, *, keyframe: bool) -> bytes:
    """A payload as Chromium's: flexible mode, and every picture a switching point."""
    temporal, back = PATTERN[number % len(PATTERN)]
    flags = 0x80 | (0 if keyframe else 0x40) | 0x20 | 0x10 | 0x08 | 0x04
    layer = temporal << 5 | 0x10 | spatial << 1 | (keyframe and spatial > 0)
    references = b"" if keyframe else bytes((back << 1,))
    return bytes((flags, 0x80 | number >> 8, number & 0xFF, layer)) + references + b"9"


def send(scene: Scene, numbers: range) -> None:
    """Send pictures; the first of all is a keyframe."""
    for number in numbers:
        for spatial in range(SPATIAL):
            payload = _flexible(number, spatial, keyframe=number == 0)
            sequence, is_last = SPATIAL * number + spatial, spatial == SPATIAL - 1
            scene.sender.send_rtp(packet(sequence, payload=payload, timestamp=3000 * number, marker=is_last))


def got(scene: Scene) -> list[vp9.Vp9Descriptor]:
    """What came, under numbers without a gap."""
    packets = scene.viewer.of_ssrc(scene.consumer.ssrc)
    headers = [rtp.parse(data) for data in packets]
    first = headers[0].sequence_number
    assert [header.sequence_number for header in headers] == [first + index for index in range(len(headers))]
    return [vp9.parse(data[header.payload_offset :]) for data, header in zip(packets, headers, strict=True)]


def _vp9(picture: int, spatial: int, *, keyframe: bool) -> bytes:
    """Return a VP9 payload of one packet per layer's frame: picture id, layers, TL0PICIDX."""
    inter_picture = 0 if keyframe else 0x40
    flags = 0x80 | inter_picture | 0x20 | 0x08 | 0x04
    return (
        bytes((flags, 0x80 | picture >> 8, picture & 0xFF, spatial << 1 | (spatial > 0), picture & 0xFF))
        + b"9"
    )


async def test_spatial_layers_within_a_stream_are_left_out_without_gaps() -> None:
    _, sender, viewer, consumer = await scene("L3T1", Layers(1))
    for picture in range(4):
        for spatial in range(3):
            payload = _vp9(picture, spatial, keyframe=picture == 0)
            number = 3 * picture + spatial
            sender.send_rtp(packet(number, payload=payload, timestamp=3000 * picture, marker=spatial == 2))
    found = [rtp.parse(data) for data in viewer.of_ssrc(consumer.ssrc)]
    assert len(found) == 8
    assert [header.marker for header in found] == [False, True] * 4
    first = found[0].sequence_number
    assert [header.sequence_number for header in found] == [first + index for index in range(8)]


async def test_what_pictures_refer_to_is_still_where_they_say() -> None:
    playing = await scene("L3T3_KEY", Layers(2, 1))
    send(playing, range(8))

    seen = [found.picture_id for found in got(playing) if found.spatial_layer == 2]
    assert seen == [0, 2, 4, 6]
    assert all(number - PATTERN[number % len(PATTERN)][1] in seen for number in seen[1:])


async def test_a_higher_frame_rate_begins_where_nothing_is_missed() -> None:
    playing = await scene("L3T3_KEY", Layers(2, 0))
    send(playing, range(3))
    playing.consumer.set_target(2, 2)
    send(playing, range(3, 9))

    seen = [found.picture_id for found in got(playing) if found.spatial_layer == 2]
    assert seen == [0, 4, 5, 6, 7, 8], "the third refers to the second, which was left out"


@pytest.mark.parametrize("spatial", range(SPATIAL))
async def test_who_gets_any_layer_is_given_a_keyframe(spatial: int) -> None:
    playing = await scene("L3T3_KEY", Layers(spatial))
    send(playing, range(4))
    playing.world.run(2)
    before = len(playing.sender.events)
    playing.viewer.send_rtcp(rtcp.PictureLossIndication(1, playing.consumer.ssrc))
    playing.world.run(1)

    asked = playing.sender.events[before:]
    assert [event.media for event in asked if isinstance(event, rtcp.PictureLossIndication)] == [1000]


def _read(reader: LayerReader, descriptor: bytes) -> StreamPacket:
    found = StreamPacket(0, 1, 0, 0, 0.0)
    found.payload = b"av1"
    reader.read(found, descriptor, {DESCRIPTOR: (0, len(descriptor))})
    return found


def test_descriptors_tell_where_temporal_layers_begin() -> None:
    reader = LayerReader("video/AV1", DESCRIPTOR)
    first = _read(reader, mandatory(L1T3.template_id_offset, 1) + extended(L1T3))
    templates = [(L1T3.template_id_offset + index) % 64 for index in range(1, 5)]
    later = [_read(reader, mandatory(template, 2 + index)) for index, template in enumerate(templates)]

    assert (first.keyframe, first.temporal, first.switch_up) == (True, 0, 2)
    assert [(found.temporal, found.switch_up) for found in later] == [(0, 2), (1, 2), (2, NONE), (2, NONE)]


def test_vp9_tells_of_all_layers_above() -> None:
    reader = LayerReader("video/VP9", 0)
    found = StreamPacket(0, 1, 0, 0, 0.0)
    found.payload = _flexible(4, 0, keyframe=False)
    reader.read(found, b"", {})

    assert (found.temporal, found.layer_sync, found.switch_up) == (0, False, MAX_TEMPORAL)
