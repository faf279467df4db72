import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Backlog } from '../../../mediaserver/web/js/chat/backlog.js';
import { History } from '../../../mediaserver/web/js/chat/history.js';
import {
  characterCount,
  colourOf,
  errorText,
  eventLine,
  modesText,
  textParts,
  typingText,
  waitText,
} from '../../../mediaserver/web/js/chat/words.js';

const OPEN = {
  slowModeSec: 0,
  followersOnlySec: null,
  subscribersOnly: false,
  emoteOnly: false,
  uniqueChat: false,
  links: 'allow',
};

describe('words', () => {
  test('a refusal is a sentence, with the time to wait if there is one', () => {
    assert.equal(errorText({ code: 'slow_mode', retryAfter: 7.2 }), 'Slow mode is on. Try again in 8 s.');
    assert.equal(errorText({ code: 'new_code', message: 'As the server says.' }), 'As the server says.');
    assert.equal(errorText({ code: 'new_code' }), 'That did not work.');
  });

  test('times to wait are rounded up', () => {
    assert.deepEqual([0.2, 60, 600, 3600 * 2, 86_400 * 14].map(waitText), ['1 s', '60 s', '10 min', '2 h', '14 days']);
  });

  test('links and mentions are parts of their own, and all text stays in order', () => {
    const mentions = [{ userId: '1', username: 'Ben' }];
    const message = '@ben see https://example.com/a?b=c). <b>@nobody</b>';
    const parts = textParts(message, mentions);
    assert.equal(parts.map(({ text }) => text).join(''), message);
    assert.deepEqual(parts[0], { kind: 'mention', text: '@ben', userId: '1' });
    assert.deepEqual(parts.filter(({ kind }) => kind === 'link').map(({ text }) => text), ['https://example.com/a?b=c']);
  });

  test('only the web is linked to', () => {
    for (const text of ['javascript:alert(1)', 'data:text/html,x', 'xhttps://a.b', 'file:///etc/passwd']) {
      assert.ok(textParts(text).every(({ kind }) => kind === 'text'), text);
    }
  });

  test('characters are counted as the server does', () => {
    assert.equal(characterCount('  a🎉b  '), 3);
  });

  test('settings in words', () => {
    assert.equal(modesText(OPEN), '');
    assert.equal(modesText({ ...OPEN, slowModeSec: 10, followersOnlySec: 0, links: 'refuse' }), 'slow mode 10 s · followers only · no links');
    assert.equal(modesText({ ...OPEN, followersOnlySec: 600 }), 'followers of 10 min only');
  });

  test('events in words', () => {
    const from = { userId: '1', username: 'ben' };
    const text = (t, d) => eventLine({ t, d })?.text;
    assert.equal(text('gift', { from, gift: 'rose', quantity: 3, coins: 30 }), 'ben gave 3 × rose (30 coins)');
    assert.equal(text('tip', { from, coins: 1, message: '' }), 'ben tipped 1 coin');
    assert.equal(text('subscription', { username: 'ben', plan: 'Regular', months: 2 }), 'ben subscribed: Regular, 2 months in all');
    assert.equal(text('user-timed-out', { username: 'ben', durationSec: 600 }), 'ben was timed out for 10 min');
    assert.equal(text('something-new', {}), undefined);
  });

  test('who is typing', () => {
    assert.deepEqual(
      [[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(typingText),
      ['', 'a is typing…', 'a and b are typing…', 'Several people are typing…'],
    );
  });

  test('somebody keeps their colour', () => {
    assert.equal(colourOf('0199-a', 8), colourOf('0199-a', 8));
    assert.ok(colourOf('0199-b', 8) < 8);
  });
});

describe('what waits to be shown', () => {
  test('is bounded, and the oldest goes first', () => {
    const backlog = new Backlog(3);
    for (let number = 0; number < 100; number += 1) {
      backlog.push(number);
      assert.ok(backlog.size < 6);
    }
    assert.deepEqual(backlog.newest(), [97, 98, 99]);
    assert.deepEqual(backlog.take(2), [97, 98]);
    assert.deepEqual(backlog.take(2), [99]);
    assert.deepEqual(backlog.take(2), []);
  });

  test('loses what was deleted meanwhile', () => {
    const backlog = new Backlog(3);
    [1, 2, 3].forEach((number) => backlog.push(number));
    backlog.discard((number) => number === 2);
    assert.deepEqual(backlog.take(9), [1, 3]);
  });
});

describe('older messages', () => {
  /** An API with messages of the offsets 1 to `count`. */
  function apiOf(count) {
    return {
      calls: 0,
      async call(_method, path) {
        this.calls += 1;
        const before = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? count + 1);
        const last = Math.max(1, before - 100);
        const data = Array.from({ length: before - last }, (_, number) => ({ id: `m${before - 1 - number}`, offset: before - 1 - number }));
        return { data, meta: last > 1 ? { nextCursor: String(last) } : {} };
      },
    };
  }

  test('come page by page, oldest first, each once', async () => {
    const history = new History(apiOf(250), 'room');
    const offsets = [];
    for (let before = 201; ; before = offsets[0]) {
      const page = await history.before(before);
      if (page.length === 0) break;
      offsets.unshift(...page.map(({ offset }) => offset));
    }
    assert.deepEqual(offsets, Array.from({ length: 200 }, (_, number) => number + 1));
  });

  test('begin anew for somebody who has been at the newest meanwhile', async () => {
    const history = new History(apiOf(250), 'room');
    await history.before(201);
    await history.before(151);
    const page = await history.before(241);
    assert.equal(page.at(-1).offset, 240);
  });
});
