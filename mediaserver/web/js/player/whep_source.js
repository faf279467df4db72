/** Plays a room over WebRTC, half a second after the camera or less. */
import { look, decoded, receivingFigures } from '../webrtc/figures.js';
import { SessionError, isEnded } from '../webrtc/http_session.js';
import { WhepClient } from '../whep.js';
import { Cause, SourceError } from './errors.js';
import { waitLive } from './wait_live.js';
import { pause } from './waiting.js';

const CONNECT_SECONDS = 5;
const DECODE_SECONDS = 5;
/** Longer than the server waits for a publisher that dropped. */
const SILENCE_SECONDS = 15;
const DISCONNECTED_SECONDS = 3;
const LOOK_SECONDS = 0.25;
const FIGURES_SECONDS = 1;

export class WhepSource {
  name = 'WebRTC';
  /** The browser keeps to the live edge by itself. */
  followsStreamTime = false;
  /** Of the last second; see receivingFigures. Null while nothing plays. */
  figures = null;
  /** Grows while media comes: the element's own clock goes on without. */
  progress = 0;
  #video;
  #addresses;
  #room;

  /**
   * `addresses`: `{whep, stream, token}`, the continuous stream telling when the room is live. `room` returns
   * what is known of the room, or null.
   */
  constructor(video, addresses, room) {
    this.#video = video;
    this.#addresses = addresses;
    this.#room = room;
  }

  /** From the server to the screen, in seconds; null when nobody can tell. */
  get latency() {
    const { roundTrip = null, delay = null } = this.figures ?? {};
    return delay === null ? null : delay + (roundTrip ?? 0) / 2;
  }

  /** As MseSource.run. A SourceError with Cause.WAY says that another way should be tried. */
  async run(signal, onStart) {
    const { whep, stream, token } = this.#addresses;
    await waitLive(stream, signal);
    const client = new WhepClient(whep, token);
    try {
      await opened(client, signal, this.#room);
      await connected(client.connection, signal);
      this.#video.playbackRate = 1;
      this.#video.srcObject = client.stream;
      onStart();
      await this.#follow(client, signal);
    } finally {
      client.close();
      this.figures = null;
      this.#video.srcObject = null;
    }
  }

  /** Until the connection is lost, or nothing comes any more. */
  async #follow(client, signal) {
    const { connection } = client;
    const progress = new Progress(() => Boolean(this.#room()?.video));
    const health = new Health(client);
    let before = null;
    while (!signal.aborted) {
      const now = look(await connection.getStats(), 'inbound', performance.now() / 1000);
      this.progress = progress.check(now, this.#video.paused);
      await health.check(now.time);
      if (before === null || now.time - before.time >= FIGURES_SECONDS) {
        this.figures = receivingFigures(before, now);
        before = now;
      }
      await pause(LOOK_SECONDS, signal);
    }
    throw signal.reason;
  }
}

/** Whether pictures, or sound where there are none, keep coming out of the decoders. */
class Progress {
  #expectsVideo;
  #decoded = 0;
  #hasBegun = false;
  #openedAt = null;
  #since = null;

  constructor(expectsVideo) {
    this.#expectsVideo = expectsVideo;
  }

  /** What has been decoded, a number that grows. Throws SourceError when it has not for too long. */
  check(now, isPaused) {
    const { video, audio } = decoded(now);
    const isMoving = video + audio > this.#decoded;
    this.#decoded = video + audio;
    // Browsers may stop decoding for an element that is paused.
    if (isMoving || isPaused || this.#since === null) this.#since = now.time;
    // A camera may be switched off later; at first sound alone would be half of what there is.
    if (this.#hasBegun || (this.#expectsVideo() ? video > 0 : isMoving)) this.#hasBegun = true;
    else if (now.time - (this.#openedAt ??= now.time) > DECODE_SECONDS && !isPaused) throw new SourceError(Cause.WAY, 'nothing could be decoded');
    if (now.time - this.#since > SILENCE_SECONDS) throw new SourceError(Cause.NETWORK, 'no media arrives');
    return this.#decoded;
  }
}

/** Whether there is a way to the server; looks for another one when it is lost. */
class Health {
  #client;
  #lostAt = null;
  #hasRestarted = false;

  constructor(client) {
    this.#client = client;
  }

  /** Throws SourceError when the connection is gone. */
  async check(time) {
    const { connection } = this.#client;
    if (isEnded(connection)) throw new SourceError(Cause.NETWORK, 'the server ended the session');
    const state = connection.connectionState;
    if (state === 'connected') {
      this.#lostAt = null;
      this.#hasRestarted = false;
      return;
    }
    this.#lostAt ??= time;
    const isGone = this.#hasRestarted && time - this.#lostAt > CONNECT_SECONDS + DISCONNECTED_SECONDS;
    if (isGone) throw new SourceError(Cause.NETWORK, 'the connection was lost');
    if (!this.#hasRestarted && (state === 'failed' || time - this.#lostAt > DISCONNECTED_SECONDS)) await this.#restart();
  }

  async #restart() {
    this.#hasRestarted = true;
    try {
      await this.#client.restart();
    } catch (error) {
      throw new SourceError(Cause.NETWORK, error.message);
    }
  }
}

async function opened(client, signal, room) {
  try {
    await client.open(signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new SourceError(causeOf(error, room()), error.message, error.retryAfter ?? 0);
  }
}

function causeOf(error, room) {
  if (error instanceof SessionError && error.status === 0) return Cause.NETWORK;
  // The publisher that dropped may come back, and so may the real time.
  return error.code === 'not_live' && room?.state === 'interrupted' ? Cause.NOT_LIVE : Cause.WAY;
}

async function connected(connection, signal) {
  const end = performance.now() / 1000 + CONNECT_SECONDS;
  while (connection.connectionState !== 'connected') {
    const isLate = performance.now() / 1000 > end;
    if (isLate || ['failed', 'closed'].includes(connection.connectionState)) {
      throw new SourceError(Cause.WAY, 'no connection to the server’s media port');
    }
    await pause(LOOK_SECONDS / 5, signal);
    if (signal.aborted) throw signal.reason;
  }
}
