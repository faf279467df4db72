/**
 * What was tapped, given one after the other. Taps that come while the server is asked, and shortly afterwards, are
 * gathered: somebody who taps as fast as they can makes a request a second, and not as many as the server bears with.
 *
 * Fires 'given' (`detail`: gift, and the answer of the server), 'refused' (`detail`: gift, error; what waited is
 * dropped, as it would fare no better) and 'change' whenever `outstanding` is another.
 */
import { pause } from './pause.js';

export const MOST_AT_ONCE = 1000;
const MOST_WAITING = 8;
const GATHER_SECONDS = 0.8;

export class Giving extends EventTarget {
  #till;
  #path;
  #wait;
  #waiting = [];
  #now = null;
  #isWorking = false;
  /** Nobody knows whether it was paid: who gives the same again asks for this one. */
  #lost = null;

  /** `wait(seconds)` gives a promise. */
  constructor(till, roomId, wait = pause) {
    super();
    this.#wait = wait;
    this.#till = till;
    this.#path = `/rooms/${roomId}/gifts`;
  }

  /** Coins that will be spent when all goes well. */
  get outstanding() {
    return [this.#now, ...this.#waiting].reduce((sum, order) => sum + (order ? order.gift.priceCoins * order.quantity : 0), 0);
  }

  /** Whether it is taken: not when too much waits already. */
  give(gift, wanted) {
    const quantity = this.#found(gift) ?? wanted;
    const same = this.#waiting.find((order) => order.gift.id === gift.id && order.quantity + quantity <= MOST_AT_ONCE);
    if (same) same.quantity += quantity;
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push({ gift, quantity });
    else return false;
    this.#changed();
    if (!this.#isWorking) void this.#work();
    return true;
  }

  /** Whoever signs in has lost nothing. */
  forget() {
    this.#lost = null;
  }

  #found(gift) {
    const quantity = this.#lost?.gift.id === gift.id ? this.#lost.quantity : null;
    if (quantity !== null) this.#lost = null;
    return quantity;
  }

  async #work() {
    this.#isWorking = true;
    while (this.#waiting.length > 0) {
      this.#now = this.#waiting.shift();
      await this.#pay(this.#now);
      this.#changed();
      await this.#wait(GATHER_SECONDS);
    }
    this.#isWorking = false;
  }

  async #pay({ gift, quantity }) {
    try {
      const answer = await this.#till.pay(this.#path, { giftId: gift.id, quantity });
      this.#now = null;
      this.#tell('given', { gift, answer });
    } catch (error) {
      this.#now = null;
      this.#waiting = [];
      if (error.code === 'unanswered') this.#lost = { gift, quantity };
      this.#tell('refused', { gift, error });
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
