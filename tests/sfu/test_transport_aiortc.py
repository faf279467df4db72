"""aiortc publishes, aiortc watches: ICE, DTLS, SRTP, RTCP and forwarding against another implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sfu.transport import TransportState
from sfu.webrtc_server import WebRtcServer
from tests.helpers.waiting import eventually
from tests.sfu.aiortc_peers import Publisher, Viewer


@pytest.fixture
async def server() -> AsyncIterator[WebRtcServer]:
    made = WebRtcServer()
    await made.start(["127.0.0.1"], 0)
    yield made
    await made.close()


@pytest.mark.slow(reason="aiortc gathers candidates, encodes and decodes")
async def test_sound_and_picture_reach_two_viewers(server: WebRtcServer) -> None:
    router = server.create_router("room")
    publisher, viewers = Publisher(router), [Viewer(router), Viewer(router)]
    await publisher.publish()
    for viewer in viewers:
        await viewer.view(publisher.producers)
    await eventually(lambda: all(min(viewer.frames.values()) >= 10 for viewer in viewers))

    for peer in (publisher, *viewers):
        assert peer.transport.state is TransportState.CONNECTED
        assert peer.listener.states == [TransportState.CONNECTING, TransportState.CONNECTED]
    await eventually(lambda: viewers[0].consumers["video"].sender_report(server.plane.clock()) is not None)
    await eventually(lambda: viewers[0].consumers["video"].remote.round_trip > 0)
    totals = server.statistics()
    assert (totals.transports, totals.producers, totals.consumers) == (3, 2, 4)
    assert totals.packets_out > totals.packets_in > 0
    assert server.counters.media.flush_errors == server.counters.mux.endpoint_errors == 0

    for peer in (*viewers, publisher):
        await peer.close()
    await eventually(lambda: router.is_empty)
    assert [peer.listener.closed for peer in (publisher, *viewers)] == [1, 1, 1]
