/**
 * One room over `chat.v1.json`: connects, comes back by itself, and asks for what it missed.
 *
 * Fires 'state' when `state` changes, 'joined' for the room as it is now (`detail`: the body of `joined`, after
 * which what is shown begins anew unless `recovered`), and 'frame' for each frame of the room.
 */
import { Backoff } from '../player/backoff.js';

export const State = { CONNECTING: 'connecting', OPEN: 'open', LOST: 'lost', REFUSED: 'refused', STOPPED: 'stopped' };

const SUBPROTOCOL = 'chat.v1.json';
const HISTORY = 50;
const ANSWER_SECONDS = 10;
const SILENCE_SECONDS = 30;
const STEADY_SECONDS = 10;
const REFUSED_SECONDS = 60;
const CLOSE = { GOING_AWAY: 1001, SIGNED_OUT: 3000, TOO_MANY_FRAMES: 4429 };
const OWN_FAULTS = [1002, 1003, 1007, 1009];
const PASSING = ['busy', 'unavailable', 'rate_limited', 'too_many_rooms'];

export class RoomLink extends EventTarget {
  #roomId;
  #ticket;
  #socket = null;
  #backoff = new Backoff({ first: 1, most: 30, factor: 2 });
  #timers = { again: 0, silence: 0, steady: 0 };
  #answers = new Map();
  #number = 0;
  #epoch = null;
  #offset = 0;

  state = State.STOPPED;
  /** Why the room did not let us in: `{code, message}`. */
  refusal = null;

  /** `ticket` gives a promise of a ticket, or of null. */
  constructor(roomId, ticket) {
    super();
    this.#roomId = roomId;
    this.#ticket = ticket;
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.#hurry());
  }

  start() {
    if (this.state === State.STOPPED) void this.#connect();
  }

  stop() {
    this.#drop();
    this.#setState(State.STOPPED);
  }

  /** As somebody else: what is shown stays, and what they missed comes. */
  restart() {
    this.#drop();
    void this.#connect();
  }

  /** The answer's body. Rejects with `{code, message, retryAfter?}`. */
  ask(type, body = {}) {
    return new Promise((resolve, reject) => {
      if (this.state !== State.OPEN && type !== 'join-room') return reject({ code: 'offline' });
      const id = (this.#number += 1);
      const timer = setTimeout(() => this.#settle(id, 'reject', { code: 'timeout' }), ANSWER_SECONDS * 1000);
      this.#answers.set(id, { resolve, reject, timer });
      this.#write({ t: type, id, d: type === 'ping' ? {} : { roomId: this.#roomId, ...body } });
    });
  }

  /** What is not answered, unless it is refused. */
  tell(type, body = {}) {
    if (this.state === State.OPEN) this.#write({ t: type, d: { roomId: this.#roomId, ...body } });
  }

  #write(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  async #connect() {
    clearTimeout(this.#timers.again);
    this.#setState(this.state === State.STOPPED ? State.CONNECTING : State.LOST);
    const attempt = (this.#socket = {});
    const ticket = await this.#ticket().catch((error) => error);
    if (this.#socket !== attempt) return;
    if (ticket instanceof Error) {
      this.#again(ticket.retryAfter ?? 0);
      return;
    }
    const address = new URL(ticket ? `/ws?ticket=${encodeURIComponent(ticket)}` : '/ws', location.href);
    address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#listen(new WebSocket(address, SUBPROTOCOL));
  }

  #listen(socket) {
    this.#socket = socket;
    const ifCurrent = (act) => (event) => this.#socket === socket && act(event);
    socket.addEventListener('open', ifCurrent(() => void this.#join()));
    socket.addEventListener('message', ifCurrent(({ data }) => this.#take(JSON.parse(data))));
    socket.addEventListener('close', ifCurrent(({ code }) => this.#closed(code)));
  }

  async #join() {
    const known = this.#epoch === null ? {} : { epoch: this.#epoch, offset: this.#offset };
    this.#watchSilence();
    try {
      await this.ask('join-room', { ...known, history: HISTORY });
    } catch (error) {
      this.#notLetIn(error);
    }
  }

  /** Handled where it arrives and not after the promise, so that no frame can overtake it. */
  #joined(body) {
    this.#roomId = body.roomId;
    this.#epoch = body.epoch;
    this.#offset = body.offset;
    this.refusal = null;
    this.#timers.steady = setTimeout(() => this.#backoff.reset(), STEADY_SECONDS * 1000);
    this.#setState(State.OPEN);
    this.dispatchEvent(new CustomEvent('joined', { detail: body }));
  }

  #notLetIn(error) {
    if (this.#socket === null || error.code === 'offline') return;
    this.#drop();
    const isPassing = PASSING.includes(error.code) || error.code === 'timeout';
    if (!isPassing) this.refusal = error;
    this.#again(isPassing ? (error.retryAfter ?? 0) : REFUSED_SECONDS, isPassing ? State.LOST : State.REFUSED);
  }

  #take(frame) {
    this.#watchSilence();
    const { t, id, d } = frame;
    if (t === 'joined') this.#joined(d);
    if (t === 'error' && id !== undefined) this.#settle(id, 'reject', d);
    else if (id !== undefined) this.#settle(id, 'resolve', d);
    if (d.offset !== undefined && t !== 'ack' && t !== 'joined') this.#offset = Math.max(this.#offset, d.offset);
    if (t === 'left') this.restart();
    else if (t !== 'joined' && !(t === 'error' && id !== undefined)) {
      this.dispatchEvent(new CustomEvent('frame', { detail: frame }));
    }
  }

  #settle(id, how, value) {
    const answer = this.#answers.get(id);
    if (answer === undefined) return;
    clearTimeout(answer.timer);
    this.#answers.delete(id);
    answer[how](value);
  }

  #closed(code) {
    this.#drop();
    if (OWN_FAULTS.includes(code)) {
      this.#setState(State.STOPPED);
      return;
    }
    if (code === CLOSE.SIGNED_OUT) this.dispatchEvent(new Event('signed-out'));
    // Who listened to that may have begun anew.
    if (this.#socket !== null) return;
    if (code === CLOSE.GOING_AWAY) this.#schedule(Math.random() / 2);
    else this.#again(code === CLOSE.TOO_MANY_FRAMES ? 60 : 0);
  }

  #again(atLeast, state = State.LOST) {
    this.#schedule(this.#backoff.next(atLeast), state);
  }

  #schedule(seconds, state = State.LOST) {
    this.#setState(state);
    clearTimeout(this.#timers.again);
    this.#timers.again = setTimeout(() => void this.#connect(), seconds * 1000);
  }

  /** The network or the viewer is back: there is no reason to wait. */
  #hurry() {
    if (this.state === State.LOST && this.#socket === null) void this.#connect();
  }

  /** Browsers say nothing of a connection that is dead but not closed. */
  #watchSilence() {
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => {
      const lost = () => {
        this.#drop();
        this.#again(0);
      };
      if (this.state === State.OPEN) this.ask('ping').catch(({ code }) => code === 'timeout' && lost());
    }, SILENCE_SECONDS * 1000);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    for (const id of [...this.#answers.keys()]) this.#settle(id, 'reject', { code: 'offline' });
    socket?.close?.();
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
