/**
 * Payments that happen once: what is paid for has a key, which stays with it until the server has answered.
 *
 * Whoever loses the connection does not know whether they have paid. The same asked for again, by the till itself
 * or by somebody who presses the button once more, goes with the same key and is paid once.
 */
import { pause } from './pause.js';

const PAUSES_SECONDS = [0.5, 2, 5];
const UNANSWERED = ['unreachable', 'unknown', 'internal_error', 'unavailable', 'request_in_progress'];

/** Fires 'lost' when it has to ask again. */
export class Till extends EventTarget {
  #api;
  #wait;
  #keys = new Map();

  /** `wait(seconds)` gives a promise. */
  constructor(api, wait = pause) {
    super();
    this.#api = api;
    this.#wait = wait;
  }

  /** The answer's data. Throws an ApiError, or `{code: 'unanswered'}` when nobody knows how it went. */
  async pay(path, body) {
    const intent = `${path} ${JSON.stringify(body)}`;
    const idempotencyKey = this.#keys.get(intent) ?? newKey();
    this.#keys.set(intent, idempotencyKey);
    const data = await this.#ask(intent, path, { body, idempotencyKey });
    this.#keys.delete(intent);
    return data;
  }

  /** Keys are of whoever was signed in. */
  forget() {
    this.#keys.clear();
  }

  async #ask(intent, path, options) {
    for (const seconds of [...PAUSES_SECONDS, null]) {
      try {
        return (await this.#api.call('POST', path, options)).data;
      } catch (error) {
        if (!UNANSWERED.includes(error.code)) {
          this.#keys.delete(intent);
          throw error;
        }
      }
      if (seconds === null) break;
      this.dispatchEvent(new Event('lost'));
      await this.#wait(seconds);
    }
    throw { code: 'unanswered' };
  }
}

/** Not randomUUID, which pages have over HTTPS only. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
