/**
 * A broadcast from this page: publishes, keeps the connection, and comes back by itself.
 *
 * Fires 'change' when `state` or `problem` changes, and 'figures' about once a second.
 */
import { Backoff } from '../player/backoff.js';
import { pause } from '../player/waiting.js';
import { look, sendingFigures } from '../webrtc/figures.js';
import { WhipClient } from '../whip.js';
import { isPassing } from './words.js';

export const State = Object.freeze({ IDLE: 'idle', CONNECTING: 'connecting', LIVE: 'live', LOST: 'lost' });

const CONNECT_SECONDS = 15;
const LOOK_SECONDS = 1;
const DISCONNECTED_SECONDS = 3;
const RESTART_SECONDS = 8;

export class Broadcast extends EventTarget {
  #credential;
  #client = null;
  #running = null;
  #tracks = { video: null, audio: null };
  #limits = null;
  #backoff = new Backoff({ first: 1, most: 15 });
  #hurry = null;

  state = State.IDLE;
  /** Why the last attempt failed, as a SessionError or an error of the API. */
  problem = null;
  /** See sendingFigures. */
  figures = null;
  /** In milliseconds of Date.now(); null unless it is on. */
  startedAt = null;

  /** `credential` gives a promise of `{url, token}`; it may throw what `problem` is to be. */
  constructor(credential) {
    super();
    this.#credential = credential;
    addEventListener('online', () => this.state === State.LOST && this.#hurry?.());
  }

  get isOn() {
    return this.state !== State.IDLE;
  }

  start(tracks, limits) {
    if (this.isOn) return;
    this.#tracks = { ...tracks };
    this.#limits = limits;
    this.#running = new AbortController();
    this.problem = null;
    this.#backoff.reset();
    void this.#run(this.#running.signal);
  }

  stop() {
    this.#running?.abort(new DOMException('stopped', 'AbortError'));
    this.#end(null);
  }

  /** Send these from now on. */
  async use(tracks, limits) {
    const before = this.#tracks;
    this.#tracks = { ...tracks };
    this.#limits = limits;
    const client = this.#client;
    if (client === null) return;
    for (const kind of ['video', 'audio']) {
      if (tracks[kind] !== before[kind]) await client.replace(kind, tracks[kind]).catch(() => {});
    }
    await client.limit(limits);
  }

  async #run(signal) {
    this.#set(State.CONNECTING);
    while (!signal.aborted) {
      const error = await this.#attempt(signal);
      if (signal.aborted) return;
      this.problem = error;
      if (!isPassing(error)) {
        this.#end(error);
        return;
      }
      this.#set(State.LOST);
      await this.#wait(this.#backoff.next(error.retryAfter ?? 0), signal);
    }
  }

  async #wait(seconds, signal) {
    const hurry = new AbortController();
    this.#hurry = () => hurry.abort();
    await pause(seconds, AbortSignal.any([signal, hurry.signal]));
  }

  /** One connection from start to end; the error that ended it. */
  async #attempt(signal) {
    try {
      const { url, token } = await this.#credential();
      if (signal.aborted) return signal.reason;
      this.#client = new WhipClient(url, token, this.#tracks, this.#limits);
      await this.#client.open(signal);
      await this.#follow(this.#client, signal);
    } catch (error) {
      return error;
    } finally {
      this.#client?.close();
      this.#client = null;
      this.figures = null;
    }
    return signal.reason;
  }

  /** Until the connection is lost for good, which throws. */
  async #follow(client, signal) {
    const health = new Health(client);
    let before = null;
    while (!signal.aborted) {
      const isConnected = await health.check(performance.now() / 1000);
      if (isConnected) this.#connected();
      else if (this.startedAt !== null) this.#set(State.LOST);
      const now = look(await client.connection.getStats(), 'outbound', performance.now() / 1000);
      this.figures = sendingFigures(before, now);
      before = now;
      this.dispatchEvent(new Event('figures'));
      await pause(this.state === State.LIVE ? LOOK_SECONDS : LOOK_SECONDS / 5, signal);
    }
  }

  #connected() {
    if (this.state === State.LIVE) return;
    this.startedAt ??= Date.now();
    this.problem = null;
    this.#backoff.reset();
    this.#set(State.LIVE);
  }

  #end(problem) {
    this.#client?.close();
    this.#client = null;
    this.#running = null;
    this.figures = null;
    this.startedAt = null;
    this.problem = problem;
    this.#set(State.IDLE);
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}

/** Whether there is a way to the server; looks for another one when it is lost. */
class Health {
  #client;
  #lostAt = null;
  #hasConnected = false;
  #hasRestarted = false;

  constructor(client) {
    this.#client = client;
  }

  /** Whether it is connected. Throws an error without a status when it will not be again. */
  async check(time) {
    const state = this.#client.connection.connectionState;
    if (state === 'connected') {
      this.#lostAt = null;
      this.#hasRestarted = false;
      this.#hasConnected = true;
      return true;
    }
    this.#lostAt ??= time;
    const quiet = time - this.#lostAt;
    if (!this.#hasConnected) {
      if (state === 'failed' || state === 'closed' || quiet > CONNECT_SECONDS) throw new Error('No way to the server’s media port was found: a firewall may be in the way.');
    } else if (state === 'closed' || (this.#hasRestarted && quiet > DISCONNECTED_SECONDS + RESTART_SECONDS)) {
      throw new Error('The connection was lost.');
    } else if (!this.#hasRestarted && (state === 'failed' || quiet > DISCONNECTED_SECONDS)) {
      this.#hasRestarted = true;
      await this.#restart();
    }
    return false;
  }

  /** A server that was away knows nothing of the session: that is no refusal, but asks for a new one. */
  async #restart() {
    try {
      await this.#client.restart();
    } catch (cause) {
      throw new Error('The connection was lost.', { cause });
    }
  }
}
