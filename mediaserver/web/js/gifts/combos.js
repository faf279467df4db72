/** How many of each gift were given in a row: the count starts anew when nothing came for a while. Pure. */
export const COMBO_MILLISECONDS = 10_000;

export class Combos {
  #runs = new Map();

  /** Count some more; `now` in milliseconds. */
  add(giftId, quantity, now) {
    const count = this.of(giftId, now) + quantity;
    this.#runs.set(giftId, { count, at: now });
    return count;
  }

  /** The server has counted, maybe from before this page was there; what it does not know of yet stays. */
  correct(giftId, count, now) {
    this.#runs.set(giftId, { count: Math.max(count, this.of(giftId, now)), at: now });
  }

  of(giftId, now) {
    const run = this.#runs.get(giftId);
    return run !== undefined && now - run.at < COMBO_MILLISECONDS ? run.count : 0;
  }

  drop(giftId) {
    this.#runs.delete(giftId);
  }
}
