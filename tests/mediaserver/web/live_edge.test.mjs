import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  DEFAULTS,
  LiveEdgeController,
  distanceToEdge,
  evictable,
  rangeAt,
} from '../../../mediaserver/web/js/player/live_edge.js';

const TARGET = DEFAULTS.targetSeconds;

/** A controller that has made its first seek, at position 9 of a buffer that ends at 10. */
function started(options) {
  const controller = new LiveEdgeController(options);
  controller.decide({ now: 0, position: 0, ranges: [{ start: 0, end: 10 }] });
  return controller;
}

function at(distance, now = 1, end = 10) {
  return { now, position: end - distance, ranges: [{ start: 0, end }] };
}

/** Plays for `seconds`; `speed` is how fast media arrives. Returns distances and rates seen. */
function simulate(controller, { distance, seconds, speed = 1, step = 0.25 }) {
  let position = 100;
  let end = position + distance;
  const seen = [];
  for (let now = 0; now < seconds; now += step) {
    const { rate, seekTo } = controller.decide({ now, position, ranges: [{ start: 0, end }] });
    if (seekTo !== null) position = seekTo;
    seen.push({ distance: end - position, rate, seekTo });
    position += rate * step;
    end += speed * step;
  }
  return seen;
}

describe('ranges', () => {
  const ranges = [{ start: 0, end: 4 }, { start: 6, end: 10 }];

  test('the range around a position, with a tolerance', () => {
    assert.equal(rangeAt(ranges, 2), ranges[0]);
    assert.equal(rangeAt(ranges, 5), null);
    assert.equal(rangeAt(ranges, 5.95, 0.1), ranges[1]);
    assert.equal(rangeAt([], 1), null);
  });

  test('the distance is to the end of everything', () => {
    assert.equal(distanceToEdge(ranges, 3), 7);
    assert.equal(distanceToEdge([], 3), 0);
  });

  test('eviction keeps what was asked for and is not done for little', () => {
    assert.deepEqual(evictable([{ start: 0, end: 100 }], 95, 30), { start: 0, end: 65 });
    assert.equal(evictable([{ start: 60, end: 100 }], 95, 30), null);
    assert.deepEqual(evictable([{ start: 60, end: 100 }], 95, 30, 1), { start: 60, end: 65 });
    assert.equal(evictable([], 95, 30), null);
  });
});

describe('seeks', () => {
  test('the first one goes the target distance before the edge', () => {
    const { seekTo } = new LiveEdgeController().decide({ now: 0, position: 0, ranges: [{ start: 0, end: 10 }] });
    assert.equal(seekTo, 10 - TARGET);
  });

  test('the first one stays inside of a short buffer', () => {
    const { seekTo } = new LiveEdgeController().decide({ now: 0, position: 0, ranges: [{ start: 7, end: 7.2 }] });
    assert.equal(seekTo, 7);
  });

  test('nothing buffered or paused: nothing to do', () => {
    const controller = new LiveEdgeController();
    assert.deepEqual(controller.decide({ now: 0, position: 5, ranges: [] }), { rate: 1, seekTo: null });
    const paused = { ...at(9), isPaused: true };
    assert.deepEqual(started().decide(paused), { rate: 1, seekTo: null });
  });

  test('far behind', () => {
    assert.equal(started().decide(at(DEFAULTS.seekBeyondSeconds + 0.5)).seekTo, 10 - TARGET);
    assert.equal(started().decide(at(DEFAULTS.seekBeyondSeconds - 0.5)).seekTo, null);
  });

  test('over a gap to where media goes on', () => {
    const ranges = [{ start: 0, end: 8 }, { start: 9, end: 11 }];
    assert.equal(started().decide({ now: 1, position: 8.5, ranges }).seekTo, 9);
  });

  test('back, when the timeline jumped back under the position', () => {
    const ranges = [{ start: 0, end: 5 }];
    assert.equal(started().decide({ now: 1, position: 50, ranges }).seekTo, 5 - TARGET);
  });

  test('over a gap from the very end of a range, where the element waits', () => {
    const controller = started();
    const ranges = [{ start: 0, end: 8 }, { start: 9, end: 11 }];
    assert.equal(controller.decide({ now: 1, position: 8, ranges }).seekTo, null);
    assert.equal(controller.decide({ now: 3, position: 8, ranges }).seekTo, 9);
  });

  test('a short hop when stuck among media, none at its end', () => {
    const controller = started();
    controller.decide(at(1, 1));
    assert.equal(controller.decide(at(1, 1.5)).seekTo, null);
    assert.ok(Math.abs(controller.decide(at(1, 3)).seekTo - 9.1) < 1e-9);
    const starved = started();
    starved.decide(at(0.05, 1));
    assert.equal(starved.decide(at(0.05, 5)).seekTo, null);
  });
});

describe('rates', () => {
  test('at the target nothing changes', () => {
    assert.equal(started().decide(at(TARGET)).rate, 1);
  });

  test('behind: faster, within limits, and only until the target is near', () => {
    const controller = started();
    assert.equal(controller.decide(at(TARGET + DEFAULTS.speedUpBeyond - 0.05)).rate, 1);
    const fast = controller.decide(at(TARGET + 0.5, 2)).rate;
    assert.ok(fast > 1 && fast < DEFAULTS.maxRate);
    assert.equal(controller.decide(at(TARGET + 4, 3)).rate, DEFAULTS.maxRate);
    assert.ok(controller.decide(at(TARGET + 0.2, 4)).rate > 1, 'goes on below the threshold');
    assert.equal(controller.decide(at(TARGET + 0.05, 5)).rate, 1);
  });

  test('too close: a little slower until the target is reached', () => {
    const controller = started();
    assert.equal(controller.decide(at(0.2)).rate, DEFAULTS.minRate);
    assert.equal(controller.decide(at(0.8, 2)).rate, DEFAULTS.minRate);
    assert.equal(controller.decide(at(TARGET, 3)).rate, 1);
  });

  test('a viewer four seconds behind arrives without a seek and then stays', () => {
    const seen = simulate(started(), { distance: 4, seconds: 90 });
    assert.ok(seen.every(({ seekTo }) => seekTo === null));
    const late = seen.slice(-40);
    assert.ok(late.every(({ distance }) => Math.abs(distance - TARGET) < DEFAULTS.speedUpBeyond));
    const changes = late.filter(({ rate }, n) => n > 0 && rate !== late[n - 1].rate).length;
    assert.equal(changes, 0, 'the rate does not flap');
  });

  test('a clock that runs fast at the encoder is kept up with', () => {
    const seen = simulate(started(), { distance: 1, seconds: 300, speed: 1.002 });
    assert.ok(seen.every(({ distance, seekTo }) => distance < 2 && seekTo === null));
  });
});

describe('stalls', () => {
  test('each moves the target away, up to a limit; calm brings it back', () => {
    const controller = started();
    controller.noteStall(10);
    assert.equal(controller.target, TARGET + DEFAULTS.stallPenaltySeconds);
    for (let n = 0; n < 20; n += 1) controller.noteStall(11 + n);
    assert.equal(controller.target, DEFAULTS.maxTargetSeconds);
    controller.decide(at(1, 35));
    assert.equal(controller.target, DEFAULTS.maxTargetSeconds);
    for (let now = 40; now < 40 + 10 * DEFAULTS.calmSeconds; now += 1) controller.decide(at(1, now));
    assert.equal(controller.target, TARGET);
  });

  test('another source begins with a seek, and keeps what was learnt', () => {
    const controller = started();
    controller.noteStall(1);
    controller.reset();
    assert.equal(controller.decide(at(5)).seekTo, 10 - TARGET - DEFAULTS.stallPenaltySeconds);
  });
});
