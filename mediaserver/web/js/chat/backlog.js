/** What waits to be shown: bounded, and the oldest goes first when there is too much. Pure. */
export class Backlog {
  #items = [];
  #most;

  constructor(most) {
    this.#most = most;
  }

  get size() {
    return this.#items.length;
  }

  /** All of it, oldest first. */
  get items() {
    return this.#items;
  }

  push(item) {
    this.#items.push(item);
    // Cutting at twice the size makes a push cost the same whatever the size is.
    if (this.#items.length >= 2 * this.#most) this.#items = this.#items.slice(-this.#most);
  }

  /** Remove and return up to `count` items, oldest first, of those that may still be shown. */
  take(count) {
    if (this.#items.length > this.#most) this.#items = this.#items.slice(-this.#most);
    return this.#items.splice(0, count);
  }

  /** The newest that may be shown, oldest first; they stay. */
  newest() {
    return this.#items.slice(-this.#most);
  }

  discard(isUnwanted) {
    this.#items = this.#items.filter((item) => !isUnwanted(item));
  }

  clear() {
    this.#items = [];
  }
}
