import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { Door } from '../../../mediaserver/web/js/money/door.js';
import { RoomToken } from '../../../mediaserver/web/js/room_token.js';

const LIFETIME_SECONDS = 900;
const ROOM = { id: 'r1', visibility: 'private', streamer: { id: 'u1', displayName: 'Alice' } };
/** What is answered without a wait has been taken in by then. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A server that gives one token after the other, or fails with `failure`. */
class Server {
  given = 0;
  asked = 0;
  failure = null;
  lifetimeSeconds = LIFETIME_SECONDS;

  async call(method, path) {
    if (method === 'GET') return { data: ROOM };
    assert.equal(`${method} ${path}`, 'POST /rooms/r1/playback-token');
    this.asked += 1;
    if (this.failure !== null) throw Object.assign(new Error('no token'), this.failure);
    this.given += 1;
    return { data: { token: `token-${this.given}`, expiresAt: new Date(Date.now() + this.lifetimeSeconds * 1000).toISOString() } };
  }
}

describe('the token of a room runs out', () => {
  let server, token, door, opened;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_800_000_000_000 });
    globalThis.document = { getElementById: () => new EventTarget() };
    server = new Server();
    token = new RoomToken(null);
    const account = Object.assign(new EventTarget(), { user: { id: 'u2' } });
    door = new Door({ api: server, account, signIn: null }, 'r1', token, new EventTarget());
    opened = 0;
    door.addEventListener('open', () => (opened += 1));
  });

  afterEach(() => mock.timers.reset());

  const pass = async (seconds) => {
    mock.timers.tick(seconds * 1000);
    await settled();
  };

  test('and is renewed two minutes before, again and again', async () => {
    await door.knock();
    for (let number = 1; number < 5; number += 1) {
      assert.equal(token.value, `token-${number}`);
      await pass(LIFETIME_SECONDS - 121);
      assert.equal(server.asked, number, 'not sooner than needed');
      await pass(1);
    }
    assert.equal(token.address('/live/r1.flv'), '/live/r1.flv?token=token-5');
    assert.equal(opened, 5);
  });

  test('and is renewed as soon as the server can be reached again, while the old one still counts', async () => {
    await door.knock();
    for (const status of [0, 429, 503]) {
      server.failure = { status };
      await pass(status === 0 ? LIFETIME_SECONDS - 120 : 30);
      assert.equal(token.value, 'token-1');
    }
    server.failure = null;
    await pass(30);
    assert.equal(token.value, 'token-2');
    assert.equal(server.asked, 5);
  });

  test('and a server that gives very short ones is asked twice a minute at most', async () => {
    server.lifetimeSeconds = 60;
    await door.knock();
    await pass(29);
    assert.equal(server.asked, 1);
    await pass(1);
    assert.equal(token.value, 'token-2');
  });

  test('and whoever may not watch any more is asked for no further one', async () => {
    await door.knock();
    server.failure = { status: 403 };
    await pass(LIFETIME_SECONDS - 120);
    assert.equal(server.asked, 2);
    await pass(LIFETIME_SECONDS);
    assert.equal(server.asked, 2);
    assert.equal(opened, 1);
  });
});
