/** Plays HLS with the browser's own player, for browsers without Media Source Extensions and by choice. */
import { Cause, SourceError, errorOfResponse } from './errors.js';
import { once } from './waiting.js';

const WAIT_FOR_LIVE_SECONDS = 30;
const TYPE = 'application/vnd.apple.mpegurl';

export function canPlayNativeHls() {
  return document.createElement('video').canPlayType(TYPE) !== '';
}

export class NativeHlsSource {
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
    await this.#waitLive(signal);
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

  async #waitLive(signal) {
    const url = new URL(this.#stream, location.href);
    url.searchParams.set('wait', String(WAIT_FOR_LIVE_SECONDS));
    let response;
    try {
      response = await fetch(url, { method: 'HEAD', signal, cache: 'no-store' });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw new SourceError(Cause.NETWORK, error.message);
    }
    if (!response.ok) throw errorOfResponse(response);
  }
}
