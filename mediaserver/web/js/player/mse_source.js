/**
 * Plays one endless fMP4 response through Media Source Extensions.
 *
 * Rules:
 * - One response, one MediaSource. Whatever goes wrong, the next attempt begins with fresh ones.
 * - The next piece is read only when the last is in the buffer, so nothing piles up.
 */
import { Cause, SourceError, errorOfResponse } from './errors.js';
import { evictable } from './live_edge.js';
import { once } from './waiting.js';

const KEEP_SECONDS = 30;
const KEEP_WHEN_FULL_SECONDS = 5;
/** Longer than the server waits for a publisher that dropped. */
const SILENCE_SECONDS = 15;
const WAIT_FOR_LIVE_SECONDS = 30;
const OPEN_SECONDS = 10;
/** So many pieces in a row that add no media: what arrives is damaged, and the parser waits for a box without end. */
const MAX_BARREN_PIECES = 40;

/** iPhones have only the managed kind, which may stop asking for data to save power. */
const MediaSourceClass = globalThis.MediaSource ?? globalThis.ManagedMediaSource;

export function canPlayMse() {
  return MediaSourceClass !== undefined && 'body' in Response.prototype;
}

/** Ranges of a TimeRanges object as a list of {start, end}. */
export function listRanges(buffered) {
  return Array.from({ length: buffered.length }, (_, n) => ({ start: buffered.start(n), end: buffered.end(n) }));
}

export class MseSource {
  name = 'fMP4';
  /** Positions are the stream's own times, and the live edge is ours to keep. */
  followsStreamTime = true;
  #video;
  #url;

  /** `url` is where the fMP4 stream is; `video` the element that plays. */
  constructor(video, url) {
    this.#video = video;
    this.#url = url;
  }

  /**
   * Play until the response ends, which is when this resolves. `onStart` is called once media arrives.
   * Throws SourceError, and the signal's reason when aborted.
   */
  async run(signal, onStart) {
    const own = new AbortController();
    const all = AbortSignal.any([signal, own.signal]);
    try {
      const response = await this.#open(all);
      await this.#play(response, all, onStart);
    } finally {
      own.abort();
    }
  }

  async #open(signal) {
    const url = new URL(this.#url, location.href);
    url.searchParams.set('wait', String(WAIT_FOR_LIVE_SECONDS));
    const response = await within(
      WAIT_FOR_LIVE_SECONDS + OPEN_SECONDS,
      asNetwork(fetch(url, { signal, cache: 'no-store' }), signal),
      Cause.NETWORK,
      'the server does not answer',
    );
    if (!response.ok) throw errorOfResponse(response);
    return response;
  }

  async #play(response, signal, onStart) {
    const type = response.headers.get('Content-Type') ?? '';
    if (!MediaSourceClass.isTypeSupported(type)) {
      throw new SourceError(Cause.UNSUPPORTED, `this browser cannot play ${type}`);
    }
    const mediaSource = new MediaSourceClass();
    const address = URL.createObjectURL(mediaSource);
    try {
      this.#attach(address);
      await within(OPEN_SECONDS, once(mediaSource, 'sourceopen', signal), Cause.MEDIA, 'the player did not open');
      const buffer = mediaSource.addSourceBuffer(type);
      await this.#pump(response.body.getReader(), buffer, signal, onStart);
    } finally {
      URL.revokeObjectURL(address);
    }
  }

  #attach(address) {
    // ManagedMediaSource refuses to open while the element could be cast elsewhere.
    this.#video.disableRemotePlayback = true;
    this.#video.src = address;
  }

  async #pump(reader, buffer, signal, onStart) {
    let edge = null;
    let barrenPieces = 0;
    for (;;) {
      const { done, value } = await within(
        SILENCE_SECONDS,
        asNetwork(reader.read(), signal),
        Cause.NETWORK,
        'no data arrives',
      );
      if (done) return;
      await this.#append(buffer, value, signal);
      await this.#evict(buffer, KEEP_SECONDS, signal);
      const newEdge = listRanges(buffer.buffered).at(-1)?.end ?? null;
      if (edge === null && newEdge !== null) onStart();
      barrenPieces = newEdge === edge ? barrenPieces + 1 : 0;
      if (barrenPieces > MAX_BARREN_PIECES) throw new SourceError(Cause.MEDIA, 'what arrives cannot be played');
      edge = newEdge;
    }
  }

  async #append(buffer, data, signal) {
    try {
      await this.#appendOnce(buffer, data, signal);
    } catch (error) {
      if (error.name !== 'QuotaExceededError') throw error;
      await this.#evict(buffer, KEEP_WHEN_FULL_SECONDS, signal, 0.5);
      await this.#appendOnce(buffer, data, signal).catch((again) => {
        throw new SourceError(Cause.MEDIA, `the buffer is full: ${again.message}`);
      });
    }
  }

  async #appendOnce(buffer, data, signal) {
    this.#throwIfBroken();
    try {
      buffer.appendBuffer(data);
    } catch (error) {
      if (error.name === 'QuotaExceededError') throw error;
      throw new SourceError(Cause.MEDIA, error.message);
    }
    await once(buffer, 'updateend', signal);
    this.#throwIfBroken();
  }

  async #evict(buffer, keepSeconds, signal, step = 10) {
    this.#throwIfBroken();
    const ranges = listRanges(buffer.buffered);
    // Someone who paused does not hold on to everything since: play goes on at the edge anyway.
    const edge = ranges.at(-1)?.end ?? 0;
    const position = Math.max(this.#video.currentTime, edge - keepSeconds);
    const old = evictable(ranges, position, keepSeconds, step);
    if (old === null) return;
    buffer.remove(old.start, old.end);
    await once(buffer, 'updateend', signal);
  }

  #throwIfBroken() {
    const error = this.#video.error;
    if (error !== null) throw new SourceError(Cause.MEDIA, error.message || `media error ${error.code}`);
  }
}

/** What `promise` gives, or a network error for anything but an abort. */
async function asNetwork(promise, signal) {
  try {
    return await promise;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new SourceError(Cause.NETWORK, error.message);
  }
}

async function within(seconds, promise, cause, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new SourceError(cause, message)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
