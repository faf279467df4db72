/** Those on stage, seen and heard by the host. */
import { byId, element } from '../chat/dom.js';
import { Backoff } from '../player/backoff.js';
import { pause } from '../player/waiting.js';
import { WhepClient } from '../whep.js';

const LOOK_SECONDS = 0.5;
const GONE = ['failed', 'closed'];

export class Faces {
  #token;
  #faces = new Map();

  /** `token` gives a promise of a playback token for the room, or of null. */
  constructor(token) {
    this.#token = token;
  }

  /** Show these: `{id, name, tracks}` each, `tracks` as RtcLink.tracksOf gives them. */
  show(roomId, people) {
    const seen = people.filter(({ tracks }) => tracks.length > 0);
    const keys = new Set(seen.map(keyOf));
    for (const [key, face] of this.#faces) if (!keys.has(key)) this.#drop(key, face);
    for (const person of seen) if (!this.#faces.has(keyOf(person))) this.#add(roomId, person);
  }

  /** Mark who speaks. */
  speaks(participantId) {
    for (const face of this.#faces.values()) face.item.classList.toggle('is-speaking', face.id === participantId);
  }

  #add(roomId, person) {
    const video = element('video', { autoplay: true, playsInline: true, attributes: { 'aria-label': `${person.name} on stage` } });
    const item = element('li', {}, video, element('span', { textContent: person.name }));
    const face = { id: person.id, item, video, ending: new AbortController() };
    this.#faces.set(keyOf(person), face);
    byId('stage-faces').append(item);
    void this.#play(`/whep/${roomId}/${person.id}`, face);
  }

  #drop(key, { item, video, ending }) {
    ending.abort();
    video.srcObject = null;
    item.remove();
    this.#faces.delete(key);
  }

  async #play(address, { video, ending: { signal } }) {
    const backoff = new Backoff({ first: 0.5, most: 8 });
    while (!signal.aborted) {
      const client = new WhepClient(address, await this.#token().catch(() => null));
      try {
        await client.open(signal);
        video.srcObject = client.stream;
        while (!signal.aborted && !GONE.includes(client.connection.connectionState)) await pause(LOOK_SECONDS, signal);
      } catch {
        // Somebody who has just come may not send yet, and whoever left goes from the list.
      } finally {
        client.close();
      }
      await pause(backoff.next(), signal);
    }
  }
}

/** Another set of tracks is another connection. */
function keyOf({ id, tracks }) {
  return [id, ...tracks.map(({ producerId }) => producerId).sort()].join();
}
