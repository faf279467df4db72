/** Which room to broadcast to: the user's own. Fires 'change' when that is another. */
import { byId } from '../chat/dom.js';
import { readPreference, writePreference } from '../preferences.js';

const COPIED_MILLISECONDS = 2500;

export class RoomChoice extends EventTarget {
  #api;
  #rooms = [];

  constructor(api) {
    super();
    this.#api = api;
    byId('room').addEventListener('change', () => this.#chosen());
    byId('low-latency').addEventListener('change', ({ target }) => void this.#setLowLatency(target.checked));
    byId('copy-link').addEventListener('click', () => void this.#copy());
    byId('new-room').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#make(byId('new-room-title').value.trim());
    });
  }

  /** The room's view, or null. */
  get room() {
    return this.#rooms.find(({ id }) => id === byId('room').value) ?? null;
  }

  async load() {
    const { data } = await this.#api.call('GET', '/rooms?mine=true&limit=50');
    this.#rooms = data;
    const options = data.map(({ id, title, slug }) => new Option(slug ? `${title} (${slug})` : title, id));
    byId('room').replaceChildren(...options);
    const wanted = new URLSearchParams(location.search).get('room') ?? readPreference('studio-room', '');
    const found = data.find(({ id, slug }) => id === wanted || slug === wanted);
    if (found) byId('room').value = found.id;
    this.#show();
    this.dispatchEvent(new Event('change'));
  }

  forget() {
    this.#rooms = [];
    byId('room').replaceChildren();
    byId('room-panel').hidden = true;
    this.dispatchEvent(new Event('change'));
  }

  lock(isLocked) {
    byId('room').disabled = isLocked;
  }

  #chosen() {
    writePreference('studio-room', byId('room').value);
    this.#show();
    this.dispatchEvent(new Event('change'));
  }

  #show() {
    const { room } = this;
    byId('room-panel').hidden = false;
    byId('new-room').hidden = this.#rooms.length > 0;
    byId('room').parentElement.hidden = this.#rooms.length === 0;
    byId('room-line').hidden = byId('low-latency-line').hidden = room === null;
    byId('low-latency').checked = room?.lowLatency ?? true;
    byId('room-note').textContent = room === null ? '' : noteOf(room);
    if (room !== null) byId('watch-link').href = `/watch/${room.slug ?? room.id}`;
  }

  /** Those who watch over WebRTC are taken to another way by the server. */
  async #setLowLatency(lowLatency) {
    const { room } = this;
    byId('low-latency').disabled = true;
    try {
      const { data } = await this.#api.call('PATCH', `/rooms/${room.id}`, { body: { lowLatency } });
      room.lowLatency = data.lowLatency;
      this.#show();
    } catch (error) {
      this.#show();
      byId('room-note').textContent = error.message;
    }
    byId('low-latency').disabled = false;
  }

  async #make(title) {
    try {
      await this.#api.call('POST', '/rooms', { body: { title } });
      await this.load();
    } catch (error) {
      byId('room-note').textContent = error.message;
    }
  }

  async #copy() {
    const text = byId('watch-link').href;
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    byId('copy-link').textContent = isCopied ? 'Link copied' : text;
    setTimeout(() => (byId('copy-link').textContent = 'Copy link'), COPIED_MILLISECONDS);
  }
}

function noteOf({ isLive, visibility }) {
  const whom = { public: 'Everybody can watch.', unlisted: 'Whoever has the link can watch.', followers: 'Your followers can watch.', subscribers: 'Your subscribers can watch.', private: 'Only those with a token can watch.' };
  const live = isLive ? 'This room is live from elsewhere: going live here takes it over. ' : '';
  return live + (whom[visibility] ?? '');
}
