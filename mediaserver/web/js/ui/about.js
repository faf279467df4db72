/** The words below the picture: title, streamer, viewers, time, codecs, and the link to share. */
import { audioText, bitrateText, durationText, videoText, viewersText } from '../format.js';

const COPIED_MILLISECONDS = 2500;

export class About {
  #startedAt = null;

  constructor() {
    byId('share').addEventListener('click', () => void this.#share());
    setInterval(() => this.#showUptime(), 1000);
  }

  /** `room` is the room's status as the server gives it, or null when it is unknown. */
  show(room) {
    if (room === null) return;
    const isOn = room.state === 'live' || room.state === 'interrupted';
    document.title = isOn ? `● ${room.title}` : room.title;
    byId('title').textContent = room.title;
    byId('owner').textContent = room.owner;
    byId('on-air').hidden = room.state !== 'live';
    byId('viewers').hidden = !isOn;
    byId('viewers-text').textContent = viewersText(room.viewers);
    this.#startedAt = isOn && room.startedAt ? Date.parse(room.startedAt) : null;
    this.#showUptime();
    byId('technical').textContent = isOn ? technicalText(room) : '';
  }

  /** For a room that may not be known. */
  clear() {
    byId('title').textContent = '';
    byId('share').hidden = true;
    byId('on-air').hidden = true;
  }

  #showUptime() {
    byId('uptime').hidden = this.#startedAt === null;
    if (this.#startedAt !== null) byId('uptime').textContent = durationText((Date.now() - this.#startedAt) / 1000);
  }

  async #share() {
    const address = location.href;
    if (navigator.share && matchMedia('(pointer: coarse)').matches) {
      await navigator.share({ title: document.title, url: address }).catch(() => {});
      return;
    }
    const isCopied = await copy(address);
    byId('share-text').textContent = isCopied ? 'Link copied' : address;
    setTimeout(() => (byId('share-text').textContent = 'Copy link'), COPIED_MILLISECONDS);
  }
}

function technicalText(room) {
  const bitrate = room.bitrate ? bitrateText(room.bitrate) : '';
  return [videoText(room.video), audioText(room.audio), bitrate].filter(Boolean).join('  |  ');
}

/** The clipboard exists only on secure pages; the old way works on the others. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'hidden-text';
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand('copy');
    field.remove();
    return isCopied;
  }
}

function byId(id) {
  return document.getElementById(id);
}
