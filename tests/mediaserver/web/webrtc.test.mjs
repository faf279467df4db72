/** What is pure of WHIP, WHEP and the studio. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cause, SourceError } from '../../../mediaserver/web/js/player/errors.js';
import { FallbackSource } from '../../../mediaserver/web/js/player/fallback_source.js';
import { levelOf } from '../../../mediaserver/web/js/studio/level_meter.js';
import { answerOf, readOffer, sendingParameters } from '../../../mediaserver/web/js/rtc/offer.js';
import { listedPeople, stageNote } from '../../../mediaserver/web/js/studio/stage_words.js';
import { limitsOf, qualityOf } from '../../../mediaserver/web/js/studio/quality.js';
import { adviceOf, rowsOf } from '../../../mediaserver/web/js/studio/figures_view.js';
import { deviceErrorText, isPassing, missingText, publishErrorText } from '../../../mediaserver/web/js/studio/words.js';
import { decoded, look, receivingFigures, sendingFigures } from '../../../mediaserver/web/js/webrtc/figures.js';
import { candidateFragment, restartFragment, restartedAnswer, startingAt } from '../../../mediaserver/web/js/webrtc/fragment.js';

const OFFER = ['v=0', 'a=group:BUNDLE 0 1', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=ice-ufrag:EsAw', 'a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1', 'a=mid:0', 'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', ''].join('\r\n');
const ANSWER = ['v=0', 'a=group:BUNDLE 0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=ice-ufrag:old', 'a=ice-pwd:oldpassword', 'a=candidate:1 1 udp 1 192.0.2.1 8189 typ host', 'a=end-of-candidates', 'a=sendonly', ''].join('\r\n');

test('a fragment names the first section, the credentials and the candidates', () => {
  const lines = candidateFragment(OFFER, ['candidate:1 1 udp 2 192.0.2.9 5000 typ host'], true).split('\r\n');
  assert.deepEqual(lines, [
    'a=group:BUNDLE 0 1',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=mid:0',
    'a=ice-ufrag:EsAw',
    'a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1',
    'a=candidate:1 1 udp 2 192.0.2.9 5000 typ host',
    'a=end-of-candidates',
    '',
  ]);
  assert.ok(!restartFragment(OFFER).includes('candidate'));
});

test('a restarted answer has the new credentials and candidates in the place of the old ones', () => {
  const fragment = 'a=ice-ufrag:new\r\na=ice-pwd:newpassword\r\nm=audio 9 X\r\na=mid:0\r\na=candidate:2 1 udp 1 192.0.2.2 8189 typ host\r\n';
  const answer = restartedAnswer(ANSWER, fragment);
  assert.ok(answer.includes('a=ice-ufrag:new\r\n') && answer.includes('a=ice-pwd:newpassword\r\n'));
  assert.ok(!answer.includes('old') && !answer.includes('192.0.2.1'));
  assert.equal(answer.match(/a=candidate/g).length, 1);
  assert.ok(answer.indexOf('a=candidate') > answer.indexOf('a=mid:0'));
});

test('a restarted answer keeps the candidates when there are no new ones', () => {
  assert.ok(restartedAnswer(ANSWER, 'a=ice-ufrag:n\na=ice-pwd:p\n').includes('192.0.2.1'));
  assert.throws(() => restartedAnswer(ANSWER, 'm=audio 9 X\r\n'), /credentials/);
});

function report(...stats) {
  return new Map(stats.map((entry) => [entry.id, entry]));
}

const PATH = [
  { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
  { id: 'P', type: 'candidate-pair', currentRoundTripTime: 0.04 },
  { id: 'C', type: 'codec', mimeType: 'video/H264' },
];

test('figures of what is sent', () => {
  const at = (bytes, frames) => report(...PATH, { id: 'V', type: 'outbound-rtp', kind: 'video', codecId: 'C', bytesSent: bytes, framesEncoded: frames, frameWidth: 1280, frameHeight: 720, qualityLimitationReason: 'bandwidth' }, { id: 'R', type: 'remote-inbound-rtp', fractionLost: 0.02 });
  const figures = sendingFigures(look(at(0, 0), 'outbound', 10), look(at(250_000, 60), 'outbound', 12));
  assert.deepEqual(figures, { bitrate: 1_000_000, width: 1280, height: 720, codecs: ['H.264'], framesPerSecond: 30, roundTrip: 0.04, loss: 0.02, limitedBy: 'bandwidth' });
});

test('figures of what comes', () => {
  const at = (n) => report(...PATH, { id: 'V', type: 'inbound-rtp', kind: 'video', bytesReceived: n * 1000, framesDecoded: n, packetsReceived: n * 9, packetsLost: n, jitterBufferDelay: n * 0.1, jitterBufferEmittedCount: n });
  const figures = receivingFigures(look(at(10), 'inbound', 1), look(at(20), 'inbound', 2));
  assert.equal(figures.bitrate, 80_000);
  assert.equal(figures.loss.toFixed(2), '0.10');
  assert.equal(figures.delay.toFixed(2), '0.10');
  assert.deepEqual(decoded(look(at(20), 'inbound', 2)), { video: 20, audio: 0 });
});

test('nothing is made up of a first look', () => {
  const now = look(report({ id: 'V', type: 'inbound-rtp', kind: 'video', bytesReceived: 5 }), 'inbound', 1);
  const { bitrate, loss, delay, roundTrip } = receivingFigures(null, now);
  assert.deepEqual([bitrate, loss, delay, roundTrip], [null, null, null, null]);
});

function source(name, outcome) {
  return { name, runs: 0, run: async function () { this.runs += 1; if (outcome) throw outcome; } };
}

const SIGNAL = new AbortController().signal;

test('the second way is taken where the first one does not work, and the first one for the next broadcast', async () => {
  const first = source('WebRTC', new SourceError(Cause.WAY, 'refused'));
  const second = source('fMP4');
  const reasons = [];
  const both = new FallbackSource(first, second, () => reasons.push([both.name, both.reason]));
  await both.run(SIGNAL, () => {});
  assert.deepEqual(reasons, [['fMP4', 'refused'], ['WebRTC', null]]);
});

test('the second way stays while it fails, too', async () => {
  const first = source('WebRTC', new SourceError(Cause.WAY, 'refused'));
  const second = source('fMP4', new SourceError(Cause.NETWORK, 'gone'));
  const both = new FallbackSource(first, second, () => {});
  for (let n = 0; n < 3; n += 1) await assert.rejects(both.run(SIGNAL, () => {}), /gone/);
  assert.deepEqual([first.runs, second.runs, both.reason], [1, 3, 'refused']);
});

test('a room that is not live, or a server that is away, is no reason for another way', async () => {
  for (const cause of [Cause.NOT_LIVE, Cause.NETWORK, Cause.REFUSED]) {
    const second = source('fMP4');
    const both = new FallbackSource(source('WebRTC', new SourceError(cause, 'no')), second, () => {});
    await assert.rejects(both.run(SIGNAL, () => {}));
    assert.equal(second.runs, 0);
  }
});

test('every problem with a device says what to do', () => {
  assert.match(deviceErrorText({ name: 'NotAllowedError' }, 'camera'), /Allow it/);
  assert.match(deviceErrorText({ name: 'NotFoundError' }, 'microphone'), /No microphone was found/);
  assert.match(deviceErrorText({ name: 'Strange', message: 'odd' }, 'screen'), /odd/);
  assert.match(missingText({ isSecureContext: false, mediaDevices: undefined, hasWebRtc: true }), /https/);
  assert.equal(missingText({ isSecureContext: true, mediaDevices: {}, hasWebRtc: true }), null);
});

test('refusals of the server are sentences', () => {
  assert.match(publishErrorText({ status: 403, code: 'not_room_owner', message: 'x' }), /owner/);
  assert.equal(publishErrorText({ status: 503, message: 'answered 503' }), 'The server is full, or starting. It is tried again.');
  assert.match(publishErrorText({ status: 406, message: 'no codec' }), /\(no codec\)$/);
  assert.ok(isPassing({ status: 503 }) && isPassing({}) && !isPassing({ status: 403 }));
});

test('advice is given where something can be done', () => {
  assert.match(adviceOf({ loss: 0.1, limitedBy: null }), /loses packets/);
  assert.match(adviceOf({ loss: 0, limitedBy: 'bandwidth' }), /upload/);
  assert.equal(adviceOf(null), '');
  assert.ok(rowsOf(null).every(([, text, isBad]) => text === '–' && !isBad));
  assert.deepEqual(rowsOf({ loss: 0.1 }).filter(([, , isBad]) => isBad).map(([name]) => name), ['Loss']);
});

test('levels go from silence to full', () => {
  assert.equal(levelOf(new Float32Array(8)), 0);
  assert.equal(levelOf(new Float32Array(8).fill(1)), 1);
  assert.ok(Math.abs(levelOf(new Float32Array(8).fill(0.0316)) - 0.5) < 0.01);
});

test('unknown qualities are the usual one, and screens keep their resolution', () => {
  assert.equal(qualityOf('nonsense').name, '720p');
  assert.deepEqual(limitsOf(qualityOf('360p'), true), { bitrate: 600_000, frameRate: 30, keeps: 'maintain-resolution' });
});

test('only video begins with a bit rate, and only its codecs', () => {
  const answer = 'v=0\r\nm=audio 9 X 111\r\na=fmtp:111 minptime=10\r\nm=video 9 X 102 103\r\na=fmtp:102 packetization-mode=1\r\na=fmtp:103 apt=102\r\n';
  assert.equal(startingAt(answer, 1_250_000), answer.replace('mode=1', 'mode=1;x-google-start-bitrate=1250'));
});

const CHROMIUM = [
  'v=0', 'a=group:BUNDLE 0 1',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=ice-ufrag:u', 'a=ice-pwd:p', 'a=fingerprint:sha-256 AB:CD', 'a=setup:actpass',
  'a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level', 'a=rtpmap:111 opus/48000/2', 'a=rtcp-fb:111 transport-cc', 'a=fmtp:111 minptime=10;useinbandfec=1', 'a=ssrc:11 cname:me', 'a=ssrc:11 msid:- x',
  'm=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103', 'a=mid:1', 'a=extmap:1/sendonly urn:unknown', 'a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid',
  'a=rtpmap:96 AV9/90000', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:102 H264/90000', 'a=rtcp-fb:102 nack', 'a=rtcp-fb:102 nack pli', 'a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034', 'a=rtpmap:103 rtx/90000', 'a=fmtp:103 apt=102',
  'a=ssrc-group:FID 21 22', 'a=ssrc:21 cname:me', 'a=ssrc:22 cname:me', '',
].join('\r\n');
const ROUTER = {
  codecs: [
    { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 },
    { kind: 'video', mimeType: 'video/H264', clockRate: 90000, parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f' } },
  ],
  headerExtensions: [{ kind: 'video', uri: 'urn:ietf:params:rtp-hdrext:sdes:mid', preferredId: 1 }, { kind: 'audio', uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', preferredId: 10 }],
};
const SERVER = {
  iceParameters: { usernameFragment: 'su', password: 'sp', iceLite: true },
  iceCandidates: [{ foundation: 'udp0', priority: 5, address: '192.0.2.1', protocol: 'udp', port: 8189, type: 'host' }],
  dtlsParameters: { role: 'auto', fingerprints: [{ algorithm: 'sha-512', value: '00' }, { algorithm: 'sha-256', value: 'EE:FF' }] },
};

test('an offer becomes the RTP parameters of what the router can take', () => {
  const offer = readOffer(CHROMIUM);
  assert.deepEqual(offer.fingerprint, { algorithm: 'sha-256', value: 'AB:CD' });
  const [audio, video] = offer.sections.map((section) => sendingParameters(section, ROUTER));
  assert.deepEqual(audio, {
    mid: '0',
    codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48000, channels: 2, parameters: { minptime: 10, useinbandfec: 1 }, rtcpFeedback: [{ type: 'transport-cc' }] }],
    headerExtensions: [{ id: 1, uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level' }],
    encodings: [{ ssrc: 11 }],
    rtcp: { cname: 'me', reducedSize: true },
  });
  assert.deepEqual(video.codecs.map(({ payloadType }) => payloadType), [102, 103]);
  assert.equal(video.codecs[0].parameters['profile-level-id'], '42e034');
  assert.deepEqual(video.codecs[0].rtcpFeedback, [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }]);
  assert.deepEqual(video.encodings, [{ ssrc: 21, rtx: { ssrc: 22 } }]);
  assert.deepEqual(video.headerExtensions, [{ id: 4, uri: 'urn:ietf:params:rtp-hdrext:sdes:mid' }]);
});

test('the answer takes what the router takes, and refuses the rest', () => {
  const offer = readOffer(CHROMIUM);
  const taken = [sendingParameters(offer.sections[0], ROUTER), null];
  const lines = answerOf(offer, taken, SERVER).split('\r\n');
  assert.ok(lines.includes('a=group:BUNDLE 0') && lines.includes('a=fingerprint:sha-256 EE:FF') && lines.includes('a=ice-lite'));
  assert.ok(lines.includes('a=candidate:udp0 1 udp 5 192.0.2.1 8189 typ host') && lines.includes('a=setup:passive'));
  assert.ok(lines.includes('a=rtpmap:111 opus/48000/2') && lines.includes('a=fmtp:111 minptime=10;useinbandfec=1'));
  assert.ok(lines.includes('m=video 0 UDP/TLS/RTP/SAVPF 0'));
  assert.equal(sendingParameters(offer.sections[1], { ...ROUTER, codecs: ROUTER.codecs.slice(0, 1) }), null);
});

test('another profile is another codec', () => {
  const [, video] = readOffer(CHROMIUM.replace('42e034', '640034')).sections;
  assert.equal(sendingParameters(video, ROUTER), null);
});

test('raised hands come first, then the stage, then the audience', () => {
  const person = (name, role, handRaised = false) => ({ name, role, handRaised });
  const people = [person('Zoe', 'listener'), person('Ann', 'speaker'), person('Ben', 'listener', true), person('Amy', 'listener')];
  assert.deepEqual(listedPeople(people).map(({ name }) => name), ['Ben', 'Ann', 'Amy', 'Zoe']);
  assert.equal(stageNote('open', people, null), 'One viewer has raised a hand.');
  assert.match(stageNote('open', [], null), /raise a hand/);
  assert.equal(stageNote('refused', [], { message: 'You were removed.' }), 'You were removed.');
});
