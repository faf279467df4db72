/** What plays how, in figures: for those who want to know, and for those who are asked what they see. */
import { bitrateText } from '../format.js';
import { readPreference, writePreference } from '../preferences.js';

const NAMES = { WebRTC: 'WebRTC (WHEP)', fMP4: 'fMP4 over HTTP', HLS: 'HLS, by the browser' };

export class Statistics {
  #video;
  #facts;
  #before = null;
  #frameRate = null;

  /** `facts` gives `{source, room, latency}`. */
  constructor(video, facts) {
    this.#video = video;
    this.#facts = facts;
    byId('statistics-toggle').addEventListener('click', () => this.#toggle());
    document.addEventListener('keydown', (event) => this.#key(event));
    setInterval(() => this.#update(), 1000);
    this.#show(readPreference('statistics', false) === true);
  }

  #key({ key, ctrlKey, metaKey, altKey, repeat, target }) {
    const isTyping = target.isContentEditable || target.matches?.('textarea, input, select');
    if (key.toLowerCase() === 'i' && !ctrlKey && !metaKey && !altKey && !repeat && !isTyping) this.#toggle();
  }

  #toggle() {
    const isShown = byId('statistics').hidden;
    writePreference('statistics', isShown);
    this.#show(isShown);
  }

  #show(isShown) {
    byId('statistics').hidden = !isShown;
    byId('statistics-toggle').setAttribute('aria-expanded', String(isShown));
    this.#update();
  }

  #update() {
    this.#count();
    if (byId('statistics').hidden) return;
    const rows = this.#rows().filter(([, text]) => text);
    byId('statistics-rows').replaceChildren(...rows.flatMap(([name, text]) => [cell('dt', name), cell('dd', text)]));
  }

  #count() {
    const now = { time: performance.now() / 1000, frames: this.#video.getVideoPlaybackQuality().totalVideoFrames };
    const isSame = this.#before !== null && now.frames >= this.#before.frames;
    this.#frameRate = isSame ? (now.frames - this.#before.frames) / (now.time - this.#before.time) : null;
    this.#before = now;
  }

  #rows() {
    const { source, room, latency } = this.#facts();
    const figures = source?.figures;
    return [
      ['Played by', NAMES[source?.name] ?? 'nothing'],
      ['Not by WebRTC', source?.reason],
      ['Picture', this.#pictureText()],
      ['Codecs', figures?.codecs.join(', ')],
      ['Bit rate', bitrateOf(figures?.bitrate ?? room?.bitrate)],
      ['Behind the server', latency === null ? '' : `${latency.toFixed(latency < 1 ? 2 : 1)} s`],
      ['Round trip', millisecondsText(figures?.roundTrip)],
      ['Loss', figures && typeof figures.loss === 'number' ? `${(figures.loss * 100).toFixed(1)} %` : ''],
      ['Buffered', source?.followsStreamTime ? `${this.#buffered().toFixed(1)} s` : ''],
      ['Pictures dropped', this.#droppedText()],
    ];
  }

  #pictureText() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth) return '';
    const rate = this.#frameRate === null ? '' : `, ${Math.round(this.#frameRate)} per second`;
    return `${videoWidth} × ${videoHeight}${rate}`;
  }

  #buffered() {
    const { buffered, currentTime } = this.#video;
    return buffered.length > 0 ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : 0;
  }

  #droppedText() {
    const { droppedVideoFrames, totalVideoFrames } = this.#video.getVideoPlaybackQuality();
    return totalVideoFrames > 0 ? `${droppedVideoFrames} of ${totalVideoFrames}` : '';
  }
}

function bitrateOf(bitrate) {
  return bitrate ? bitrateText(bitrate) : '';
}

function millisecondsText(seconds) {
  return typeof seconds === 'number' ? `${Math.round(seconds * 1000)} ms` : '';
}

function cell(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function byId(id) {
  return document.getElementById(id);
}
