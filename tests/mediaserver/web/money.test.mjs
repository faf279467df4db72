import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mainCurrency, roundUp, series, stepFor, stepsBetween } from '../../../mediaserver/web/js/creator/series.js';
import { minorUnits, typedAmount } from '../../../mediaserver/web/js/money/amounts.js';
import { askUntil } from '../../../mediaserver/web/js/money/ask_until.js';
import { checked, returned } from '../../../mediaserver/web/js/money/checkout.js';
import { latest, purchaseText, standingText, subscriptionText } from '../../../mediaserver/web/js/money/outcomes.js';
import { savedText } from '../../../mediaserver/web/js/money/subscribing_views.js';
import { RoomToken } from '../../../mediaserver/web/js/room_token.js';

describe('amounts as they are typed', () => {
  test('become minor units of the currency, or nothing', () => {
    assert.equal(minorUnits('4.99', 'usd'), 499);
    assert.equal(minorUnits(' 4,9 ', 'eur'), 490);
    assert.equal(minorUnits('50', 'usd'), 5000);
    assert.equal(minorUnits('500', 'jpy'), 500);
    assert.equal(minorUnits('1.234', 'kwd'), 1234);
    for (const wrong of ['', '-1', '1.999', '1e3', 'five', '1.', '.5', '9'.repeat(20)]) assert.equal(minorUnits(wrong, 'usd'), null, wrong);
    assert.equal(minorUnits('5.00', 'jpy'), null);
  });

  test('go back to what was typed', () => {
    assert.equal(typedAmount(499, 'usd'), '4.99');
    assert.equal(typedAmount(500, 'jpy'), '500');
  });
});

describe('back from a checkout', () => {
  test('an address says what of, and how', () => {
    assert.deepEqual(returned('?purchase=done'), { what: 'purchase', outcome: 'done' });
    assert.deepEqual(returned('?subscription=cancelled'), { what: 'subscription', outcome: 'cancelled' });
    for (const other of ['', '?purchase=free', '?coins=done']) assert.equal(returned(other), null);
  });

  test('only pages of the web are gone to', () => {
    assert.equal(checked('https://pay.example/x'), 'https://pay.example/x');
    for (const wrong of [null, undefined, '', 'javascript:alert(1)', 'data:text/html,x', '/here']) assert.throws(() => checked(wrong));
  });

  const bought = (state, createdAt, paidAt = null) => ({ state, createdAt, paidAt, coins: 500 });

  test('the purchase that was heard of last counts', () => {
    const old = bought('paid', '2026-11-01T10:00:00Z', '2026-11-01T10:09:00Z');
    const open = bought('pending', '2026-11-01T10:05:00Z');
    assert.equal(latest([open, old]), old);
    assert.equal(latest([bought('pending', '2026-11-01T10:10:00Z'), old]).state, 'pending');
    assert.equal(latest([]), null);
  });

  test('a purchase is waited for until it is settled', () => {
    const text = (state) => purchaseText(bought(state, '2026-11-01T10:00:00Z'), 600);
    assert.equal(text('paid'), 'Your 500 coins are here. You have 600 coins now.');
    for (const state of ['pending', 'processing']) assert.equal(text(state), null);
    for (const state of ['failed', 'expired']) assert.match(text(state), /Nothing was bought/);
    assert.match(text('review'), /looked at/);
    assert.equal(purchaseText(null, 0), null);
  });

  test('a subscription is there when it gives access', () => {
    const one = { givesAccess: true, creator: { displayName: 'Ada' }, plan: 'Friends', price: 500, currency: 'usd', interval: 'month' };
    assert.equal(subscriptionText(one), 'You are a subscriber of Ada now: Friends, $5.00 a month.');
    assert.equal(subscriptionText({ ...one, givesAccess: false }), null);
    assert.equal(subscriptionText(null), null);
  });

  test('asking ends, with or without an answer', async () => {
    let asked = 0;
    const wait = async () => {};
    const third = async () => ((asked += 1) === 3 ? 'paid' : null);
    assert.equal(await askUntil(third, { wait }), 'paid');
    assert.equal(await askUntil(async () => null, { wait, looks: 4 }), null);
  });
});

describe('a subscription in words', () => {
  const standing = (more) => standingText({ state: 'active', currentPeriodEnd: '2026-12-21T12:00:00Z', cancelAtPeriodEnd: false, ...more });

  test('says until when', () => {
    assert.equal(standing({}), 'Renews on 21 December 2026');
    assert.equal(standing({ state: 'canceled' }), 'Subscribed until 21 December 2026');
    assert.equal(standing({ cancelAtPeriodEnd: true }), 'Subscribed until 21 December 2026');
    assert.match(standing({ state: 'past_due' }), /Payment failed/);
    assert.equal(standing({ currentPeriodEnd: null }), 'Subscribed');
  });

  test('a year that costs less says by how much', () => {
    assert.equal(savedText({ monthlyPrice: 500, yearlyPrice: 5000 }), ', 16 % less');
    for (const prices of [[500, 6000], [500, 9000], [null, 5000], [500, null]]) assert.equal(savedText({ monthlyPrice: prices[0], yearlyPrice: prices[1] }), '');
  });
});

describe('what was earned', () => {
  const point = (at, kind, share, more = {}) => ({ at, kind, share, refunds: 0, currency: 'usd', ...more });

  test('has a bar for each step, also for those without earnings', () => {
    const points = [point('2026-11-02', 'gifts', 70), point('2026-11-02', 'tips', 30), point('2026-11-03', 'gifts', 5, { currency: 'eur' })];
    const bars = series({ from: '2026-11-01T00:00:00Z', to: '2026-11-03T15:00:00Z', step: 'day', points }, 'usd');
    assert.deepEqual(bars.map(({ at, total }) => [at, total]), [['2026-11-01', 0], ['2026-11-02', 100], ['2026-11-03', 0]]);
    assert.deepEqual(bars[1].byKind, { gifts: 70, tips: 30 });
  });

  test('weeks begin on Mondays, months on the first', () => {
    assert.deepEqual(stepsBetween('2026-11-19T00:00:00Z', '2026-11-24T00:00:00Z', 'week'), ['2026-11-16', '2026-11-23']);
    assert.deepEqual(stepsBetween('2026-11-19T00:00:00Z', '2027-01-02T00:00:00Z', 'month'), ['2026-11-01', '2026-12-01', '2027-01-01']);
    assert.deepEqual([30, 90, 365].map(stepFor), ['day', 'week', 'month']);
  });

  test('is shown in the currency that brought most, to a round height', () => {
    assert.equal(mainCurrency([{ currency: 'usd', share: 5 }, { currency: 'eur', share: 9 }], 'chf'), 'eur');
    assert.equal(mainCurrency([], 'chf'), 'chf');
    assert.deepEqual([0, 1, 3, 70, 501].map(roundUp), [1, 1, 5, 100, 1000]);
  });
});

test('the token of a room is put behind its addresses as long as there is one', () => {
  const token = new RoomToken(null);
  assert.equal(token.address('/live/x.mp4'), '/live/x.mp4');
  token.value = 'a+b';
  assert.equal(token.address('/live/x.mp4'), '/live/x.mp4?token=a%2Bb');
});
