/**
 * Which gifts are on the stage, and which wait. Pure.
 *
 * An act is `{key, coins, …}`. One whose key is on already, or waits, is put together with it; when more wait than
 * the wings hold, those of the fewest coins are left out: they are lines in the chat all the same.
 */
export class Acts {
  #most;
  #mostWaiting;
  #on = new Set();
  #waiting = [];

  constructor(most, mostWaiting) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
  }

  /** 'start', 'update', or 'wait'. */
  add(act) {
    if (this.#on.has(act.key)) return 'update';
    if (this.#on.size < this.#most) {
      this.#on.add(act.key);
      return 'start';
    }
    this.#wait(act);
    return 'wait';
  }

  /** The act that comes instead of the one that ended, that of the most coins; or null. */
  end(key) {
    this.#on.delete(key);
    if (this.#waiting.length === 0 || this.#on.size >= this.#most) return null;
    const most = Math.max(...this.#waiting.map(({ coins }) => coins));
    const [next] = this.#waiting.splice(this.#waiting.findIndex(({ coins }) => coins === most), 1);
    this.#on.add(next.key);
    return next;
  }

  clear() {
    this.#on.clear();
    this.#waiting = [];
  }

  #wait(act) {
    const place = this.#waiting.findIndex(({ key }) => key === act.key);
    if (place >= 0) this.#waiting[place] = act;
    else this.#waiting.push(act);
    if (this.#waiting.length <= this.#mostWaiting) return;
    const fewest = Math.min(...this.#waiting.map(({ coins }) => coins));
    this.#waiting.splice(this.#waiting.findIndex(({ coins }) => coins === fewest), 1);
  }
}
