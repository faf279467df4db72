"""Chromium takes the answers to its own offers, as a publisher and as a viewer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from sfu.protocol.parameters import Direction
from sfu.protocol.sdp import SectionAnswer, answer, consumer_parameters, parse_offer, producer_parameters
from tests.helpers.chromium import Chromium, Page
from tests.sfu.protocol.sdp_cases import ENDPOINT, ROUTER
from tests.sfu.protocol.test_sdp_answer import OPUS, VP8, h264

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

OFFER = """(async () => {
  window.peer = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const canvas = document.createElement('canvas');
  canvas.getContext('2d');
  window.track = canvas.captureStream(5).getVideoTracks()[0];
  %s
  await peer.setLocalDescription();
  return peer.localDescription.sdp;
})()"""
SIMULCAST = """
  peer.addTransceiver('audio', {direction: 'sendonly'});
  peer.addTransceiver(track, {direction: 'sendonly', sendEncodings: [{rid: 'l'}, {rid: 'h'}]});
  peer.createDataChannel('data');"""
VIEWER = """
  peer.addTransceiver('audio', {direction: 'recvonly'});
  peer.addTransceiver('video', {direction: 'recvonly'});"""
ANSWER = """(async () => {
  await peer.setRemoteDescription({type: 'answer', sdp: %s});
  const state = {
    directions: peer.getTransceivers().map(transceiver => transceiver.currentDirection),
    codecs: peer.getSenders().map(sender => sender.getParameters().codecs.map(codec => codec.mimeType)),
    encodings: peer.getSenders().map(sender => sender.getParameters().encodings.map(({rid}) => rid)),
    signaling: peer.signalingState,
  };
  peer.close();
  return state;
})()"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    async with await Chromium.start() as chromium:
        yield await chromium.open()


async def accepted(page: Page, text: str) -> Any:
    return await page.evaluate(ANSWER % json.dumps(text))


@pytest.mark.parametrize("prefer", [(), ("video/H264",), ("video/VP9",), ("video/AV1",)])
async def test_publisher(page: Page, prefer: tuple[str, ...]) -> None:
    offer = parse_offer(await page.evaluate(OFFER % SIMULCAST))
    sections = [
        SectionAnswer(mid=section.mid, direction=Direction.RECVONLY, parameters=parameters)
        for section in offer.sections
        if (parameters := producer_parameters(section, ROUTER, prefer))
    ]
    state = await accepted(page, answer(offer, sections, ENDPOINT, session_id=1))
    assert state["signaling"] == "stable"
    assert state["directions"] == ["sendonly", "sendonly"]
    assert state["encodings"][1] == ["l", "h"]
    assert state["codecs"][0] == ["audio/opus"]
    assert state["codecs"][1] == [*(prefer or ["video/VP8"]), "video/rtx"]


@pytest.mark.parametrize("mid", ["0", "1"])
async def test_viewer_of_one_kind(page: Page, mid: str) -> None:
    offer = parse_offer(await page.evaluate(OFFER % VIEWER))
    section = offer.sections[int(mid)]
    consumption = consumer_parameters(section, OPUS if mid == "0" else VP8, 1234)
    assert consumption is not None
    sent = SectionAnswer(mid=mid, direction=Direction.SENDONLY, parameters=consumption.parameters)
    state = await accepted(page, answer(offer, [sent], ENDPOINT, session_id=1))
    assert state["signaling"] == "stable"
    assert state["directions"] == [("recvonly" if index == int(mid) else "inactive") for index in range(2)]


@pytest.mark.parametrize("profile", ["42e01f", "42001f", "4d001f", "640c1f", "64001f"])
async def test_viewer_of_h264(page: Page, profile: str) -> None:
    offer = parse_offer(await page.evaluate(OFFER % VIEWER))
    consumption = consumer_parameters(offer.sections[1], h264(profile), 1234, any_profile=True)
    assert consumption is not None
    sent = SectionAnswer(mid="1", direction=Direction.SENDONLY, parameters=consumption.parameters)
    state = await accepted(page, answer(offer, [sent], ENDPOINT, session_id=1))
    assert state["directions"] == ["inactive", "recvonly"]


async def test_rejected_data(page: Page) -> None:
    offer = parse_offer(await page.evaluate(OFFER % SIMULCAST))
    without_data = replace(ENDPOINT, sctp=None)
    state = await accepted(page, answer(offer, [], without_data, session_id=1))
    assert state["directions"] == ["inactive", "inactive"]
