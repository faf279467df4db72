/** Older messages of a room, page by page. */

const PAGE = 100;
const MOST_PAGES = 20;

export class History {
  #api;
  #path;
  #cursor = null;
  #isAtEnd = false;
  #reached = Infinity;

  constructor(api, roomId) {
    this.#api = api;
    this.#path = `/rooms/${encodeURIComponent(roomId)}/messages`;
  }

  /** Begin at the newest again. */
  forget() {
    this.#cursor = null;
    this.#isAtEnd = false;
    this.#reached = Infinity;
  }

  /** Messages before the offset, oldest first; none when there are none. Throws ApiError. */
  async before(offset) {
    // Who asks for newer ones than last time has been away from here.
    if (offset > this.#reached) this.forget();
    for (let page = 0; page < MOST_PAGES && !this.#isAtEnd; page += 1) {
      const messages = await this.#next();
      const older = messages.filter((message) => offset === null || message.offset < offset);
      if (older.length === 0) continue;
      this.#reached = older.at(-1).offset;
      return older.reverse();
    }
    return [];
  }

  /** A message among the newest, or undefined. */
  async find(messageId) {
    try {
      const { data } = await this.#api.call('GET', `${this.#path}?limit=${PAGE}`);
      return data.find(({ id }) => id === messageId);
    } catch {
      return undefined;
    }
  }

  async #next() {
    const cursor = this.#cursor === null ? '' : `&cursor=${encodeURIComponent(this.#cursor)}`;
    const { data, meta } = await this.#api.call('GET', `${this.#path}?limit=${PAGE}${cursor}`);
    this.#cursor = meta.nextCursor ?? null;
    this.#isAtEnd = this.#cursor === null;
    return data.map((message) => ({ kind: 'message', ...message }));
  }
}
