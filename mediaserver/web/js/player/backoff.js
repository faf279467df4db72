/** Growing pauses between attempts, with jitter so that a thousand viewers do not come back at once. */
export class Backoff {
  #attempt = 0;

  /** Seconds. `random` gives numbers from 0 to 1. */
  constructor({ first = 0.5, most = 15, factor = 1.8, random = Math.random } = {}) {
    Object.assign(this, { first, most, factor, random });
  }

  reset() {
    this.#attempt = 0;
  }

  /** Seconds to wait before the next attempt: between half and all of a step, and never under `atLeast`. */
  next(atLeast = 0) {
    const step = Math.min(this.most, this.first * this.factor ** this.#attempt);
    if (step < this.most) this.#attempt += 1;
    const jitter = this.random() / 2;
    return Math.max(step * (0.5 + jitter), atLeast * (1 + jitter));
  }
}
