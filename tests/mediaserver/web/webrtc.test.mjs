/** What is pure of WHIP, WHEP and the studio. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cause, SourceError } from '../../../mediaserver/web/js/player/errors.js';
import { FallbackSource } from '../../../mediaserver/web/js/player/fallback_source.js';
import { levelOf } from '../../../mediaserver/web/js/studio/level_meter.js';
import { limitsOf, qualityOf } from '../../../mediaserver/web/js/studio/quality.js';
import { adviceOf, rowsOf } from '../../../mediaserver/web/js/studio/figures_view.js';
import { deviceErrorText, isPassing, missingText, publishErrorText } from '../../../mediaserver/web/js/studio/words.js';
import { decoded, look, receivingFigures, sendingFigures } from '../../../mediaserver/web/js/webrtc/figures.js';
import { candidateFragment, restartFragment, restartedAnswer } from '../../../mediaserver/web/js/webrtc/fragment.js';

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
