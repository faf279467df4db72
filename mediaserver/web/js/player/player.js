/**
 * The player without its looks: connects, keeps to the live edge, and comes back by itself.
 *
 * Fires 'change' when `link` changes and 'tick' about four times a second.
 */
import { Backoff } from './backoff.js';
import { Cause, SourceError } from './errors.js';
import { LiveEdgeController } from './live_edge.js';
import { listRanges } from './mse_source.js';
import { Link } from './screens.js';
import { pause } from './waiting.js';

const TICK_SECONDS = 0.25;
const STARVED_SECONDS = 2;
/** A paused viewer's connection is given back after this long. */
const PAUSED_SECONDS = 20;
/** Playing this long means that the connection is good again. */
const GOOD_SECONDS = 5;
/** A seek that takes longer went to where there is no media; another one may help. */
const SEEK_SECONDS = 1;
const UNSUPPORTED_RETRY_SECONDS = 10;
/** The server held the request back until it gave up waiting for a publisher: ask again soon. */
const WAITED_SECONDS = 5;

export class Player extends EventTarget {
  #video;
  #source;
  #edge = new LiveEdgeController();
  #backoff = new Backoff();
  #running = null;
  #link = Link.CONNECTING;
  #isFlowing = false;
  #wantsPause = false;
  #pausedAt = 0;
  #lastPosition = -1;
  #movedAt = 0;
  #soughtAt = 0;

  constructor(video) {
    super();
    this.#video = video;
    setInterval(() => this.#tick(), TICK_SECONDS * 1000);
    video.addEventListener('pause', () => this.#pausedFromOutside());
    video.addEventListener('play', () => this.#wantsPause && !video.paused && this.play());
    document.addEventListener('visibilitychange', () => this.#tick());
    // Back online: there is no point in sitting out the pause.
    globalThis.addEventListener('online', () => this.#running !== null && !this.#isFlowing && this.#restart());
  }

  get link() {
    return this.#link;
  }

  /** Whether it is connected, or trying to be. */
  get isRunning() {
    return this.#running !== null;
  }

  get isPaused() {
    return this.#wantsPause;
  }

  /** The media time shown, on the stream's timeline; null when nothing plays or nobody can tell. */
  get streamTime() {
    return this.#link === Link.PLAYING && this.#source.followsStreamTime ? this.#video.currentTime : null;
  }

  /** What plays, or tries to; null before `use`. */
  get source() {
    return this.#source ?? null;
  }

  /** Play `source` from now on, in the place of any other. */
  use(source) {
    this.#source = source;
    this.#backoff.reset();
    this.#restart();
  }

  /** Let go of the connection until `use` or `play`. */
  stop() {
    this.#running?.abort(new DOMException('stopped', 'AbortError'));
    this.#running = null;
    this.#isFlowing = false;
  }

  pause() {
    this.#wantsPause = true;
    this.#pausedAt = now();
    this.#video.pause();
    this.#tick();
  }

  /** Go on at the live edge. */
  play() {
    this.#wantsPause = false;
    if (this.#running === null) this.#restart();
    this.#edge.reset();
    this.#lastPosition = -1;
    this.#startVideo();
    this.#tick();
  }

  /**
   * Headphones, a lock screen or the window of picture in picture paused the element itself. The event comes
   * late: by then it may be playing again.
   */
  #pausedFromOutside() {
    const isSeen = !document.hidden || document.pictureInPictureElement === this.#video;
    if (isSeen && this.#isFlowing && !this.#wantsPause && this.#video.paused && !this.#video.ended) this.pause();
  }

  #restart() {
    this.stop();
    this.#running = new AbortController();
    this.#setLink(Link.CONNECTING);
    void this.#run(this.#running.signal);
  }

  async #run(signal) {
    while (!signal.aborted) {
      const wait = await this.#attempt(signal);
      await pause(wait, signal);
    }
  }

  /** One connection from start to end. Returns the seconds to wait before the next one. */
  async #attempt(signal) {
    const beganAt = now();
    let startedAt = null;
    let failure = null;
    try {
      await this.#source.run(signal, () => {
        startedAt = now();
        this.#flow();
      });
    } catch (error) {
      failure = error;
    }
    if (signal.aborted) return 0;
    this.#isFlowing = false;
    if (startedAt !== null && now() - startedAt > GOOD_SECONDS) this.#backoff.reset();
    return this.#pauseAfter(failure, now() - beganAt);
  }

  /** Seconds to wait after an attempt that took `seconds` and ended well (null) or with `failure`. */
  #pauseAfter(failure, seconds) {
    this.#setLink(failure?.reason === Cause.UNSUPPORTED ? Link.UNSUPPORTED : Link.LOST);
    if (failure === null) return this.#backoff.next();
    if (!(failure instanceof SourceError)) console.warn('playback failed', failure);
    if (failure.reason === Cause.UNSUPPORTED) return UNSUPPORTED_RETRY_SECONDS;
    if (failure.reason === Cause.NOT_LIVE && seconds > WAITED_SECONDS) this.#backoff.reset();
    return this.#backoff.next(failure.retryAfter > seconds ? failure.retryAfter : 0);
  }

  #flow() {
    this.#isFlowing = true;
    this.#edge.reset();
    this.#lastPosition = -1;
    if (!this.#wantsPause) this.#startVideo();
  }

  #startVideo() {
    this.#video.play().catch((error) => {
      if (error.name !== 'NotAllowedError') return;
      // Without a gesture browsers play only what is silent.
      this.#video.muted = true;
      this.#video.play().catch(() => {
        this.#wantsPause = true;
        this.#tick();
      });
    });
  }

  #tick() {
    if (this.#wantsPause) this.#tickPaused();
    else if (this.#isFlowing) this.#tickPlaying();
    this.dispatchEvent(new Event('tick'));
  }

  #tickPaused() {
    this.#setLink(Link.PAUSED);
    if (now() - this.#pausedAt > PAUSED_SECONDS) this.stop();
  }

  #tickPlaying() {
    const video = this.#video;
    if (video.paused && !video.ended) this.#startVideo();
    if (this.#source.followsStreamTime) this.#follow();
    const position = this.#source.progress ?? video.currentTime;
    if (position !== this.#lastPosition) {
      this.#lastPosition = position;
      this.#movedAt = now();
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.#setLink(Link.PLAYING);
    } else if (now() - this.#movedAt > STARVED_SECONDS) {
      if (this.#link === Link.PLAYING) this.#edge.noteStall(now());
      this.#setLink(Link.STARVED);
    }
  }

  /** Do as the live-edge controller says. */
  #follow() {
    const video = this.#video;
    if (video.seeking && now() - this.#soughtAt < SEEK_SECONDS) return;
    const { rate, seekTo } = this.#edge.decide({
      now: now(),
      position: video.currentTime,
      ranges: listRanges(video.buffered),
    });
    if (seekTo !== null) {
      video.currentTime = seekTo;
      this.#soughtAt = now();
    }
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  #setLink(link) {
    if (link === this.#link) return;
    this.#link = link;
    this.dispatchEvent(new Event('change'));
  }
}

function now() {
  return performance.now() / 1000;
}
