"""A page publishes redundant audio: whoever knows it hears it so, all others hear the frames alone."""

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.rtc_bundle import build_bundle
from tests.e2e.watching import Room
from tests.helpers.chromium import Chromium, Page
from tests.helpers.flv_viewer import AUDIO, FlvViewer
from tests.helpers.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXCHANGE: Final = """
    async function exchange(peer, url, key) {
        await peer.setLocalDescription();
        const authorization = key && { Authorization: `Bearer ${key}` };
        const headers = { 'Content-Type': 'application/sdp', ...authorization };
        const response = await fetch(url, { method: 'POST', headers, body: peer.localDescription.sdp });
        if (!response.ok) throw new Error(await response.text());
        const session = response.headers.get('Location');
        window.leave = () => fetch(session, { method: 'DELETE', headers: authorization });
        await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    }
    function preferred(...names) {
        const known = RTCRtpReceiver.getCapabilities('audio').codecs;
        return names.map((name) => known.find(({ mimeType }) => mimeType === `audio/${name}`));
    }
    window.heard = async (type) => {
        const found = await peer.getStats();
        const entry = [...found.values()].find((one) => one.type === type) ?? {};
        return {
            packetsSent: entry.packetsSent ?? 0,
            audioEnergy: entry.totalAudioEnergy ?? 0,
            packetsDiscarded: entry.packetsDiscarded ?? 0,
            samplesEmitted: entry.jitterBufferEmittedCount ?? 0,
        };
    };
"""
PUBLISH: Final = """(async () => {
    %s
    window.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const transceiver = peer.addTransceiver(stream.getAudioTracks()[0], { direction: 'sendonly' });
    transceiver.setCodecPreferences(preferred('red', 'opus'));
    await exchange(peer, '/whip/%s', '%s');
})()"""
LISTEN: Final = """(async () => {
    %s
    window.peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const transceiver = peer.addTransceiver('audio', { direction: 'recvonly' });
    const names = %s;
    if (names.length) transceiver.setCodecPreferences(preferred(...names));
    const element = document.createElement('audio');
    element.srcObject = new MediaStream([transceiver.receiver.track]);
    element.autoplay = true;
    document.body.append(element);
    await exchange(peer, '/whep/%s');
})()"""
HEARD: Final = "one.audioEnergy > 0 && one.samplesEmitted > 48_000"
"""The fake microphone beeps; concealment is silent."""
WITH_COPIES: Final = "one.packetsDiscarded > 20"
"""Copies of frames that are there already are discarded, one with each packet."""


async def page_of(room: Room, chromium: Chromium) -> Page:
    """Of the server's address, with nothing of its own to do."""
    return await chromium.open(f"{room.server.base_url}/health")  # which has no icon


async def listener(room: Room, chromium: Chromium, *names: str) -> Page:
    page = await page_of(room, chromium)
    await page.evaluate(LISTEN % (EXCHANGE, json.dumps(names), room.id))
    return page


async def is_told_of_red(page: Page) -> bool:
    """Whether the answer has it; statistics name the codec inside."""
    return bool(await page.evaluate("peer.remoteDescription.sdp.includes(' red/48000/2')"))


async def test_redundant_audio_is_heard_by_all(room: Room, chromium: Chromium, tmp_path: Path) -> None:
    publisher = await page_of(room, chromium)
    await publisher.evaluate(PUBLISH % (EXCHANGE, room.id, room.stream_key))
    assert await is_told_of_red(publisher)
    await asyncio.to_thread(room.server.wait_live, room.id)

    knowing = await listener(room, chromium)
    plain = await listener(room, chromium, "opus")
    assert (await is_told_of_red(knowing), await is_told_of_red(plain)) == (True, False)
    await knowing.wait_for(f"heard('inbound-rtp').then((one) => {HEARD} && {WITH_COPIES})", 30)
    await plain.wait_for(f"heard('inbound-rtp').then((one) => {HEARD})", 30)
    await hears_by_mediasoup(room, chromium, await asyncio.to_thread(build_bundle, tmp_path))
    async with FlvViewer.watching(f"{room.server.base_url}/live/{room.id}.flv") as viewer:
        await eventually(lambda: sum(tag.type == AUDIO for tag in viewer.tags) > 50, 15)
    await publisher.evaluate("leave()")
    await asyncio.to_thread(room.server.wait_not_live, room.id)
    assert [problem for problem in publisher.problems if "/favicon.ico" not in problem] == []


async def hears_by_mediasoup(room: Room, chromium: Chromium, bundle: bytes) -> None:
    page = await page_of(room, chromium)
    await page.evaluate(bundle.decode())
    await page.evaluate(f"join('{room.id}', undefined, {{sends: false}})")
    heard = f"Object.values(found).some((one) => {HEARD} && {WITH_COPIES})"
    await page.wait_for(f"room.figures().then((found) => {heard})", 30)
