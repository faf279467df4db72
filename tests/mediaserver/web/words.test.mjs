import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  audioText,
  bitrateText,
  codecName,
  durationText,
  videoText,
  viewersText,
} from '../../../mediaserver/web/js/format.js';

test('codecs by the names people know', () => {
  const names = { 'avc1.64001f': 'H.264', 'hvc1.1.6.L93.B0': 'HEVC', 'av01.0.05M.08': 'AV1', 'mp4a.40.2': 'AAC' };
  for (const [codec, name] of Object.entries(names)) assert.equal(codecName(codec), name);
  assert.equal(codecName('mp4a.6b'), 'MP3');
  assert.equal(codecName('Opus'), 'Opus');
  assert.equal(codecName('new1.2'), 'new1.2');
});

test('one viewer is not plural, thousands are grouped', () => {
  assert.equal(viewersText(0), '0 viewers');
  assert.equal(viewersText(1), '1 viewer');
  assert.equal(viewersText(12345), '12,345 viewers');
});

test('bitrates', () => {
  assert.equal(bitrateText(2_437_000), '2.4 Mb/s');
  assert.equal(bitrateText(96_000), '96 kb/s');
});

test('durations', () => {
  assert.equal(durationText(7.9), '0:07');
  assert.equal(durationText(754), '12:34');
  assert.equal(durationText(3723), '1:02:03');
  assert.equal(durationText(-3), '0:00');
});

test('pictures are named by their shorter side, and by what is known', () => {
  assert.equal(videoText({ codec: 'avc1.64001f', width: 1920, height: 1080, frameRate: 59.94 }), 'H.264 · 1080p60');
  assert.equal(videoText({ codec: 'avc1.64001f', width: 720, height: 1280, frameRate: 0 }), 'H.264 · 720p');
  assert.equal(videoText({ codec: 'av01.0.05M.08', width: 0, height: 0, frameRate: 30 }), 'AV1');
  assert.equal(videoText(null), '');
});

test('sound', () => {
  assert.equal(audioText({ codec: 'mp4a.40.2', sampleRate: 44100, channels: 2 }), 'AAC · 44.1 kHz · stereo');
  assert.equal(audioText({ codec: 'Opus', sampleRate: 48000, channels: 3 }), 'Opus · 48 kHz · 3 channels');
  assert.equal(audioText(undefined), '');
});
