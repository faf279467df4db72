/** Plays HLS with the browser's own player, for browsers without Media Source Extensions and by choice. */
import { Cause, SourceError } from './errors.js';
import { waitLive } from './wait_live.js';
import { once } from './waiting.js';

const TYPE = 'application/vnd.apple.mpegurl';

export function canPlayNativeHls() {
  return document.createElement('video').canPlayType(TYPE) !== '';
}

export class NativeHlsSource {
  name = 'HLS';
  /** The browser keeps the distance to the live edge, on a timeline of its own. */
  followsStreamTime = false;
  #video;
  #playlist;
  #stream;

  /** `stream` is the continuous stream's address, which tells when the room is live. */
  constructor(video, playlist, stream) {
    this.#video = video;
    this.#playlist = playlist;
    this.#stream = stream;
  }

  /** As MseSource.run. */
  async run(signal, onStart) {
    await waitLive(this.#stream, signal);
    const own = new AbortController();
    const all = AbortSignal.any([signal, own.signal]);
    this.#video.src = this.#playlist;
    once(this.#video, 'loadedmetadata', all).then(onStart, () => {});
    try {
      await Promise.race([once(this.#video, 'ended', all), this.#fail(all)]);
    } finally {
      own.abort();
    }
  }

  async #fail(signal) {
    await once(this.#video, 'error', signal);
    throw new SourceError(Cause.NETWORK, this.#video.error?.message ?? 'playback failed');
  }
}
