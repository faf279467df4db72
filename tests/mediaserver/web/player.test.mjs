import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../mediaserver/web/js/player/backoff.js';
import { Cause, errorOfResponse } from '../../../mediaserver/web/js/player/errors.js';
import { latencyOf } from '../../../mediaserver/web/js/player/latency.js';
import { Link, Reach, Screen, chooseScreen } from '../../../mediaserver/web/js/player/screens.js';
import { wayToTake } from '../../../mediaserver/web/js/player/ways.js';
import { once, pause } from '../../../mediaserver/web/js/player/waiting.js';

const LIVE = { reach: Reach.OK, room: 'live', link: Link.PLAYING, hasPlayed: true };

test('one screen for each situation', () => {
  const cases = [
    [{}, Screen.LIVE],
    [{ reach: Reach.UNKNOWN, room: undefined, link: Link.CONNECTING, hasPlayed: false }, Screen.LOADING],
    [{ link: Link.CONNECTING, hasPlayed: false }, Screen.LOADING],
    [{ room: 'waiting', link: Link.CONNECTING, hasPlayed: false }, Screen.WAITING],
    [{ room: 'waiting', link: Link.LOST }, Screen.ENDED],
    [{ room: 'ended', link: Link.CONNECTING, hasPlayed: false }, Screen.ENDED],
    [{ room: 'interrupted', link: Link.STARVED }, Screen.INTERRUPTED],
    [{ link: Link.STARVED }, Screen.RECONNECTING],
    [{ link: Link.LOST }, Screen.RECONNECTING],
    [{ reach: Reach.UNREACHABLE, link: Link.LOST }, Screen.RECONNECTING],
    [{ link: Link.PAUSED }, Screen.PAUSED],
    [{ link: Link.UNSUPPORTED, hasPlayed: false }, Screen.UNSUPPORTED],
    [{ reach: Reach.NOT_FOUND, link: Link.CONNECTING }, Screen.NOT_FOUND],
    [{ reach: Reach.FORBIDDEN, link: Link.CONNECTING }, Screen.FORBIDDEN],
  ];
  for (const [difference, screen] of cases) {
    assert.equal(chooseScreen({ ...LIVE, ...difference }), screen, JSON.stringify(difference));
  }
});

test('what plays is not covered by a poll that failed', () => {
  assert.equal(chooseScreen({ ...LIVE, reach: Reach.UNREACHABLE }), Screen.LIVE);
});

test('pauses grow to a limit, vary, and begin anew', () => {
  const backoff = new Backoff({ first: 1, most: 8, factor: 2, random: () => 1 });
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => backoff.next()), [1, 2, 4, 8, 8, 8]);
  backoff.reset();
  assert.equal(backoff.next(), 1);
  const early = new Backoff({ first: 1, most: 8, factor: 2, random: () => 0 });
  assert.equal(early.next(), 0.5);
});

test('a pause that the server asked for is never cut short', () => {
  for (const random of [() => 0, () => 0.5, () => 1]) {
    assert.ok(new Backoff({ first: 0.5, random }).next(2) >= 2);
    const patient = new Backoff({ first: 3, random });
    assert.ok(patient.next(2) >= 2, 'also when the own step is longer');
  }
});

test('HTTP answers become causes', () => {
  const error = (status, headers = {}) => errorOfResponse(new Response('', { status, headers }));
  assert.equal(error(404, { 'Retry-After': '2' }).reason, Cause.NOT_LIVE);
  assert.equal(error(404, { 'Retry-After': '2' }).retryAfter, 2);
  assert.equal(error(401).reason, Cause.REFUSED);
  assert.equal(error(403).reason, Cause.REFUSED);
  assert.equal(error(503, { 'Retry-After': 'later' }).reason, Cause.NETWORK);
  assert.equal(error(503, { 'Retry-After': 'later' }).retryAfter, 0);
});

test('latency is counted from the arrival at the server', () => {
  const answer = { room: { edge: { mediaTime: 100, age: 0.1 } }, answeredAt: 50 };
  assert.ok(Math.abs(latencyOf(answer, 100.6, 51.5) - 1.0) < 1e-9);
  assert.equal(latencyOf(answer, 101.7, 51.5), 0, 'a little ahead is measuring error');
  assert.equal(latencyOf(answer, 500, 51.5), null, 'another timeline');
  assert.equal(latencyOf(answer, null, 51.5), null);
  assert.equal(latencyOf({ room: { edge: null }, answeredAt: 0 }, 1, 1), null);
  assert.equal(latencyOf({ room: null, answeredAt: 0 }, 1, 1), null);
});

test('a way that is gone is left, and one that is back waits for the next broadcast', () => {
  const both = ['real-time', 'low-latency', 'hls'];
  const situation = { names: both, current: 'real-time', wish: null, isFallenBack: false, isOn: true };
  const cases = [
    [{}, null],
    [{ names: both.slice(1) }, 'low-latency'],
    [{ names: both.slice(1), wish: 'hls' }, 'hls'],
    [{ names: both.slice(1), wish: 'real-time' }, 'low-latency'],
    // It plays by the other way already: nothing is gained by beginning anew.
    [{ names: both.slice(1), isFallenBack: true }, null],
    [{ names: both.slice(1), isFallenBack: true, isOn: false }, 'low-latency'],
    [{ current: 'low-latency' }, null],
    [{ current: 'low-latency', isOn: false }, 'real-time'],
    [{ current: 'low-latency', wish: 'low-latency', isOn: false }, null],
    [{ names: [] }, null],
  ];
  for (const [difference, name] of cases) {
    assert.equal(wayToTake({ ...situation, ...difference }), name, JSON.stringify(difference));
  }
});

test('waiting for an event ends with the event or the signal, and leaves nothing behind', async () => {
  const target = new EventTarget();
  const abort = new AbortController();
  const happened = once(target, 'updateend', abort.signal);
  target.dispatchEvent(new Event('updateend'));
  await happened;
  const waiting = once(target, 'updateend', abort.signal);
  abort.abort(new Error('stop'));
  await assert.rejects(waiting, /stop/);
  await assert.rejects(once(target, 'updateend', abort.signal), /stop/);
  await pause(1000, abort.signal);
});
