import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventLine } from '../../../mediaserver/web/js/chat/words.js';
import { coinsText, moneyText } from '../../../mediaserver/web/js/format.js';
import { Acts } from '../../../mediaserver/web/js/gifts/acts.js';
import { COMBO_MILLISECONDS, Combos } from '../../../mediaserver/web/js/gifts/combos.js';
import { Giving, MOST_AT_ONCE } from '../../../mediaserver/web/js/gifts/giving.js';
import { particles } from '../../../mediaserver/web/js/gifts/particles.js';
import { Till } from '../../../mediaserver/web/js/gifts/till.js';
import { Wallet } from '../../../mediaserver/web/js/gifts/wallet.js';

const ROSE = { id: 'rose-id', priceCoins: 10 };
const STAR = { id: 'star-id', priceCoins: 50 };
const soon = async () => {};

/** An API that answers what it is told to, one after the other: data, or an error to throw. */
class Answers {
  calls = [];

  constructor(...answers) {
    this.answers = answers;
  }

  async call(method, path, options = {}) {
    this.calls.push({ method, path, ...options });
    const answer = this.answers.shift() ?? {};
    if (answer.code) throw answer;
    return { data: answer };
  }

  get keys() {
    return this.calls.map(({ idempotencyKey }) => idempotencyKey);
  }
}

const lost = { code: 'unreachable' };

describe('the till', () => {
  test('asks again with the same key until there is an answer', async () => {
    const api = new Answers(lost, { code: 'unavailable', status: 503 }, { coins: 90 });
    const till = new Till(api, soon);
    let lostTimes = 0;
    till.addEventListener('lost', () => (lostTimes += 1));
    assert.deepEqual(await till.pay('/x', { quantity: 1 }), { coins: 90 });
    assert.deepEqual([api.calls.length, lostTimes], [3, 2]);
    assert.equal(new Set(api.keys).size, 1);
  });

  test('keeps the key when nobody answered, and takes another one after an answer', async () => {
    const api = new Answers(lost, lost, lost, lost, { coins: 90 }, { coins: 80 });
    const till = new Till(api, soon);
    await assert.rejects(till.pay('/x', { quantity: 1 }), { code: 'unanswered' });
    await till.pay('/x', { quantity: 1 });
    assert.equal(new Set(api.keys).size, 1);
    await till.pay('/x', { quantity: 1 });
    assert.equal(new Set(api.keys).size, 2);
  });

  test('a refusal is an answer', async () => {
    const api = new Answers({ code: 'insufficient_coins', status: 402 }, { coins: 0 });
    const till = new Till(api, soon);
    await assert.rejects(till.pay('/x', { quantity: 1 }), { code: 'insufficient_coins' });
    await till.pay('/x', { quantity: 1 });
    assert.equal(new Set(api.keys).size, 2);
  });

  test('what is another thing, or of somebody else, has a key of its own', async () => {
    const api = new Answers(lost, lost, lost, lost, { coins: 50 }, { coins: 90 });
    const till = new Till(api, soon);
    await assert.rejects(till.pay('/x', { quantity: 1 }));
    await till.pay('/x', { quantity: 5 });
    till.forget();
    await till.pay('/x', { quantity: 1 });
    assert.equal(new Set(api.keys).size, 3);
    assert.ok(api.keys.every((key) => /^[0-9a-f]{32}$/.test(key)));
  });
});

describe('giving', () => {
  const after = (giving, type) => new Promise((resolve) => giving.addEventListener(type, ({ detail }) => resolve(detail), { once: true }));

  test('what is tapped while the server is asked goes together, gift by gift', async () => {
    const api = new Answers();
    const giving = new Giving(new Till(api, soon), 'room', soon);
    for (const gift of [ROSE, ROSE, STAR, ROSE]) giving.give(gift, 1);
    assert.equal(giving.outstanding, 80);
    while (giving.outstanding > 0) await after(giving, 'change');
    assert.deepEqual(api.calls.map(({ body }) => body), [
      { giftId: 'rose-id', quantity: 1 },
      { giftId: 'rose-id', quantity: 2 },
      { giftId: 'star-id', quantity: 1 },
    ]);
  });

  test('taps shortly after an answer are gathered', async () => {
    const api = new Answers();
    let go;
    const giving = new Giving(new Till(api, soon), 'room', () => new Promise((resolve) => (go = resolve)));
    giving.give(ROSE, 1);
    await after(giving, 'given');
    await soon();
    for (const quantity of [1, 5]) giving.give(ROSE, quantity);
    go();
    await after(giving, 'given');
    assert.deepEqual(api.calls.map(({ body }) => body.quantity), [1, 6]);
  });

  test('one order never holds more than may be given at once, and not everything waits', () => {
    const giving = new Giving({ pay: () => new Promise(() => {}) }, 'room', soon);
    const taken = Array.from({ length: 20 }, () => giving.give(ROSE, MOST_AT_ONCE));
    assert.equal(taken.filter(Boolean).length, 9);
  });

  test('what nobody answered is asked for again as it was, and paid once', async () => {
    const api = new Answers({}, lost, lost, lost, lost);
    const giving = new Giving(new Till(api, soon), 'room', soon);
    for (const gift of [ROSE, ROSE, ROSE]) giving.give(gift, 1);
    await after(giving, 'refused');
    giving.give(ROSE, 1);
    await after(giving, 'given');
    const [first, ...rest] = api.calls.map(({ body, idempotencyKey }) => `${body.quantity} ${idempotencyKey}`);
    assert.ok(first.startsWith('1 '));
    assert.equal(new Set(rest).size, 1);
    assert.ok(rest[0].startsWith('2 '));
  });

  test('a refusal drops what waits behind it', async () => {
    const giving = new Giving(new Till(new Answers({ code: 'room_not_live' }), soon), 'room', soon);
    giving.give(ROSE, 1);
    giving.give(STAR, 1);
    const { gift, error } = await after(giving, 'refused');
    assert.equal(gift, ROSE);
    assert.equal(error.code, 'room_not_live');
    assert.equal(giving.outstanding, 0);
  });
});

test('the wallet keeps the newest answer, whichever comes last', async () => {
  const waiting = [];
  const wallet = new Wallet({ call: () => new Promise((resolve) => waiting.push(resolve)) });
  const old = wallet.refresh();
  wallet.set(80);
  waiting[0]({ data: { coins: 100 } });
  await old;
  assert.equal(wallet.coins, 80);
});

describe('combos', () => {
  test('count up while they come quickly', () => {
    const combos = new Combos();
    assert.equal(combos.add('rose', 1, 0), 1);
    assert.equal(combos.add('rose', 5, COMBO_MILLISECONDS - 1), 6);
    assert.equal(combos.of('rose', 2 * COMBO_MILLISECONDS), 0);
    assert.equal(combos.add('rose', 1, 3 * COMBO_MILLISECONDS), 1);
  });

  test('the server may know of more, but not of what was tapped meanwhile', () => {
    const combos = new Combos();
    combos.add('rose', 3, 0);
    combos.correct('rose', 1, 10);
    assert.equal(combos.of('rose', 20), 3);
    combos.correct('rose', 7, 30);
    assert.equal(combos.of('rose', 40), 7);
    combos.drop('rose');
    assert.equal(combos.of('rose', 50), 0);
  });
});

describe('the stage', () => {
  const act = (key, coins = 10, count = 1) => ({ key, coins, count });

  test('some at a time; the same again is put together', () => {
    const acts = new Acts(2, 3);
    assert.deepEqual(['a', 'b', 'a', 'c'].map((key) => acts.add(act(key))), ['start', 'start', 'update', 'wait']);
    acts.add(act('c', 10, 7));
    assert.equal(acts.end('a').count, 7);
    assert.equal(acts.end('b'), null);
  });

  test('what is worth most comes first, and when too many wait, those of few coins are left out', () => {
    const acts = new Acts(1, 2);
    for (const [key, coins] of [['on', 1], ['a', 50], ['b', 10], ['c', 1000]]) acts.add(act(key, coins));
    assert.deepEqual(['on', 'c', 'a'].map((key) => acts.end(key)?.key ?? null), ['c', 'a', null]);
  });

  test('every hint flies within bounds, an unknown one as well, by transform and opacity only', () => {
    for (const hint of ['float', 'burst', 'shower', 'fullscreen', 'new']) {
      const all = particles(hint);
      assert.ok(all.length > 0 && all.length <= 24, hint);
      const moved = new Set(all.flatMap(({ keyframes }) => keyframes.flatMap(Object.keys)));
      assert.deepEqual([...moved].filter((name) => !['offset', 'easing'].includes(name)).sort(), ['opacity', 'transform']);
    }
  });
});

test('money and coins as people read them', () => {
  assert.equal(moneyText(129, 'usd'), '$1.29');
  assert.equal(moneyText(500, 'jpy'), '¥500');
  assert.equal(coinsText(1), '1 coin');
});

test('lines name the gift as the catalogue does, and combos', () => {
  const d = { from: { username: 'ben' }, gift: 'rose', quantity: 2, coins: 20, combo: 6 };
  assert.equal(eventLine({ t: 'gift', d }, () => 'Rose').text, 'ben gave 2 × Rose (20 coins), 6 in a row');
});
