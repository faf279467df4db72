/** The door of a room that is not open to everyone: says for whom it is, and lets in who may. */
import { byId } from '../chat/dom.js';

const WORDS = {
  subscribers: ['This room is for subscribers', (name) => `Subscribe to ${name} to watch.`],
  followers: ['This room is for followers', (name) => `Those who follow ${name} can watch, once signed in.`],
  age_restricted: ['This room is not for everyone', () => 'Sign in to watch.'],
};
const RENEW_BEFORE_SECONDS = 120;
const LEAST_RENEWAL_SECONDS = 30;
const TOO_MANY = 429;
/** Nobody was refused: the server or the way to it fails for a while. */
const isPassing = ({ status }) => status === 0 || status === TOO_MANY || status >= 500;

/** Fires 'open' when `token` has become one that opens the room, and 'closed' with a title and a text. */
export class Door extends EventTarget {
  #api;
  #account;
  #token;
  #subscribing;
  #roomRef;
  #room = null;
  #timer = 0;
  #isTrying = false;

  constructor({ api, account, signIn }, roomRef, token, subscribing) {
    super();
    this.#api = api;
    this.#account = account;
    this.#roomRef = roomRef;
    this.#token = token;
    this.#subscribing = subscribing;
    byId('screen-sign-in').addEventListener('click', () => signIn.open());
    account.addEventListener('change', () => this.#somebodyElse());
    subscribing.addEventListener('change', () => this.#room && void this.knock());
  }

  /** The room is closed to this page as it is. */
  async knock() {
    if (this.#isTrying) return;
    this.#isTrying = true;
    try {
      await this.#find();
      if (this.#account.user === null) await this.#account.restore();
      if (this.#account.user === null || !(await this.#enter())) this.#explain();
    } catch (error) {
      // A private room is not told from one that is not there: the screen says so already.
      if (isPassing(error)) this.#later(() => this.knock());
    } finally {
      this.#isTrying = false;
    }
  }

  async #find() {
    this.#room ??= (await this.#api.call('GET', `/rooms/${encodeURIComponent(this.#roomRef)}`)).data;
    const { id, displayName } = this.#room.streamer;
    if (this.#room.visibility === 'subscribers') await this.#subscribing.follow({ id, name: displayName });
  }

  /** Whether the server gave a token. */
  async #enter() {
    clearTimeout(this.#timer);
    try {
      const { data } = await this.#api.call('POST', `/rooms/${this.#room.id}/playback-token`);
      this.#token.value = data.token;
      const seconds = (Date.parse(data.expiresAt) - Date.now()) / 1000 - RENEW_BEFORE_SECONDS;
      this.#later(() => this.#enter(), seconds);
      this.dispatchEvent(new Event('open'));
      return true;
    } catch (error) {
      if (isPassing(error)) this.#later(() => this.#enter());
      return false;
    }
  }

  #later(act, seconds = LEAST_RENEWAL_SECONDS) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void act(), Math.max(seconds, LEAST_RENEWAL_SECONDS) * 1000);
  }

  #explain() {
    const words = WORDS[this.#room.visibility] ?? (this.#room.ageRestricted ? WORDS.age_restricted : null);
    if (words === null) return;
    const [title, text] = words;
    this.dispatchEvent(new CustomEvent('closed', { detail: [title, text(this.#room.streamer.displayName)] }));
    byId('screen-sign-in').hidden = this.#account.user !== null;
  }

  #somebodyElse() {
    if (this.#room === null) return;
    clearTimeout(this.#timer);
    void this.knock();
  }
}
