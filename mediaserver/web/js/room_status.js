/** Polls what the server says of the room. Fires 'change' after every answer. */
import { Reach } from './player/screens.js';

const RETRY_SECONDS = 2;
const MISSING_SECONDS = 15;
const TIMEOUT_SECONDS = 8;

export class RoomStatus extends EventTarget {
  #url;
  #timer = 0;
  #isAsking = false;

  /** `room` is null until the first good answer, then the last good one. */
  room = null;
  /** When the last good answer came, in seconds of performance.now(). */
  answeredAt = 0;
  reach = Reach.UNKNOWN;

  /** `url` gives the address, which may change. */
  constructor(url) {
    super();
    this.#url = url;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.refresh();
    });
  }

  /** Ask now, and from then on. */
  async refresh() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    await this.#ask();
    this.#isAsking = false;
    this.#timer = setTimeout(() => this.refresh(), this.#pauseSeconds() * 1000);
    this.dispatchEvent(new Event('change'));
  }

  async #ask() {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
      const response = await fetch(this.#url(), { signal, cache: 'no-store' });
      this.reach = reachOf(response.status);
      if (!response.ok) return;
      this.room = await response.json();
      this.answeredAt = performance.now() / 1000;
    } catch {
      this.reach = Reach.UNREACHABLE;
    }
  }

  #pauseSeconds() {
    const steady = this.room?.pollAfter;
    const base = { [Reach.OK]: steady, [Reach.UNREACHABLE]: RETRY_SECONDS }[this.reach] ?? MISSING_SECONDS;
    return base * (0.8 + Math.random() * 0.4);
  }
}

function reachOf(status) {
  if (status === 404) return Reach.NOT_FOUND;
  if (status === 401 || status === 403) return Reach.FORBIDDEN;
  return status >= 200 && status < 300 ? Reach.OK : Reach.UNREACHABLE;
}
