/** Plays the better of two ways, and the other one where that does not work. */
import { Cause } from './errors.js';

export class FallbackSource {
  #first;
  #second;
  #onChange;
  #current;
  /** Why the first way is not taken, or null. */
  reason = null;

  /** `onChange` is called when `reason` becomes another. */
  constructor(first, second, onChange) {
    this.#first = first;
    this.#second = second;
    this.#current = first;
    this.#onChange = onChange;
  }

  get name() {
    return this.#current.name;
  }

  get followsStreamTime() {
    return this.#current.followsStreamTime;
  }

  get progress() {
    return this.#current.progress ?? null;
  }

  get figures() {
    return this.#current.figures ?? null;
  }

  get latency() {
    return this.#current.latency ?? null;
  }

  /** As MseSource.run. */
  async run(signal, onStart) {
    if (this.reason === null) {
      try {
        await this.#first.run(signal, onStart);
        return;
      } catch (error) {
        if (signal.aborted || error.reason !== Cause.WAY) throw error;
        this.#take(this.#second, error.message);
      }
    }
    await this.#second.run(signal, onStart);
    // The broadcast is over. The next one may well be playable the first way.
    this.#take(this.#first, null);
  }

  #take(source, reason) {
    this.#current = source;
    this.reason = reason;
    this.#onChange();
  }
}
