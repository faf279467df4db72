/**
 * One room over `rtc.v1.json`: who is there, who raised a hand, who is on stage. Comes back by itself.
 *
 * Fires 'state' when `state` changes, 'people' when `people`, `me` or somebody's tracks did, and 'told' with a
 * notification `{method, data}` as its detail.
 */
import { Backoff } from '../player/backoff.js';

export const State = Object.freeze({ STOPPED: 'stopped', CONNECTING: 'connecting', OPEN: 'open', LOST: 'lost', REFUSED: 'refused' });

const SUBPROTOCOL = 'rtc.v1.json';
const ANSWER_SECONDS = 10;
const STEADY_SECONDS = 10;
const PASSING = ['unavailable', 'rate_limited', 'room_full', 'too_many_rooms', 'too_many_connections', 'internal_error', 'timeout', 'offline'];
/** What coming back would not undo. */
const FINAL = ['removed'];

export class RtcError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'RtcError';
    this.code = code;
  }
}

export class RtcLink extends EventTarget {
  #roomId;
  #token;
  #socket = null;
  #backoff = new Backoff({ first: 1, most: 20, factor: 2 });
  #timers = { again: 0, steady: 0 };
  #answers = new Map();
  #number = 0;
  #resumeToken = null;
  #producers = new Map();

  state = State.STOPPED;
  /** Why the room did not let us in, or sent us away: an RtcError. */
  refusal = null;
  /** Participants by id, as the server describes them. */
  people = new Map();
  /** This participant's id. */
  me = null;
  /** What the room's router can take, as RTP capabilities. */
  capabilities = null;
  /** Whether the last join found the participant that was here before the connection was lost. */
  isResumed = false;

  /** `token` gives a promise of a publish or playback grant, or of null. */
  constructor(roomId, token) {
    super();
    this.#roomId = roomId;
    this.#token = token;
    addEventListener('online', () => this.#hurry());
  }

  start() {
    if (this.state === State.STOPPED || this.state === State.REFUSED) void this.#connect();
  }

  stop() {
    if (this.state === State.OPEN) this.ask('leave').catch(() => {});
    this.#drop();
    this.#resumeToken = null;
    this.#forget();
    this.#setState(State.STOPPED);
  }

  /** What a participant sends: `{producerId, kind, paused}` each. */
  tracksOf(participantId) {
    return [...this.#producers.values()].filter((producer) => producer.participantId === participantId);
  }

  /** The answer's data. Rejects with an RtcError. */
  ask(method, data = {}) {
    return new Promise((resolve, reject) => {
      if (this.#socket?.readyState !== WebSocket.OPEN) {
        reject(new RtcError('offline', 'There is no connection now.'));
        return;
      }
      const id = (this.#number += 1);
      const timer = setTimeout(() => this.#settle(id, 'reject', new RtcError('timeout', 'The server does not answer.')), ANSWER_SECONDS * 1000);
      this.#answers.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ request: true, id, method, data }));
    });
  }

  async #connect() {
    clearTimeout(this.#timers.again);
    this.#setState(this.state === State.LOST ? State.LOST : State.CONNECTING);
    const attempt = (this.#socket = {});
    const token = await this.#token().catch((error) => error);
    if (this.#socket !== attempt) return;
    if (token instanceof Error) {
      this.#schedule(State.LOST);
      return;
    }
    const address = new URL('/rtc', location.href);
    address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#listen(new WebSocket(address, SUBPROTOCOL), token);
  }

  #listen(socket, token) {
    this.#socket = socket;
    const ifCurrent = (act) => (event) => this.#socket === socket && act(event);
    socket.addEventListener('open', ifCurrent(() => void this.#join(token)));
    socket.addEventListener('message', ifCurrent(({ data }) => this.#take(JSON.parse(data))));
    socket.addEventListener('close', ifCurrent(() => this.#closed()));
  }

  async #join(token) {
    const resume = this.#resumeToken === null ? {} : { resumeToken: this.#resumeToken };
    try {
      this.#joined(await this.ask('join', { room: this.#roomId, ...(token && { token }), ...resume }));
    } catch (error) {
      this.#notLetIn(error);
    }
  }

  #joined({ participantId, resumeToken, resumed, participants, producers, routerRtpCapabilities }) {
    this.me = participantId;
    this.capabilities = routerRtpCapabilities;
    this.isResumed = resumed;
    this.#resumeToken = resumeToken;
    this.people = new Map(participants.map((person) => [person.id, person]));
    this.#producers = new Map(producers.map((producer) => [producer.producerId, producer]));
    this.refusal = null;
    this.#timers.steady = setTimeout(() => this.#backoff.reset(), STEADY_SECONDS * 1000);
    this.#setState(State.OPEN);
    this.#peopleChanged();
  }

  #notLetIn(error) {
    if (this.#socket === null) return;
    this.#drop();
    if (PASSING.includes(error.code)) {
      this.#schedule(State.LOST);
      return;
    }
    this.refusal = error;
    this.#setState(State.REFUSED);
  }

  #take({ response, id, ok, data, errorCode, errorReason, method }) {
    if (!response) this.#told(method, data);
    else if (ok) this.#settle(id, 'resolve', data);
    else this.#settle(id, 'reject', new RtcError(errorCode, errorReason));
  }

  #told(method, data) {
    this.#changes[method]?.(data);
    this.dispatchEvent(new CustomEvent('told', { detail: { method, data } }));
    if (method in this.#changes) this.#peopleChanged();
  }

  #changes = {
    participantJoined: ({ participant }) => this.people.set(participant.id, participant),
    participantChanged: ({ participant }) => this.people.set(participant.id, participant),
    participantLeft: ({ participantId }) => this.people.delete(participantId),
    newProducer: ({ producer }) => this.#producers.set(producer.producerId, producer),
    producerPaused: ({ producerId }) => this.#setPaused(producerId, true),
    producerResumed: ({ producerId }) => this.#setPaused(producerId, false),
    producerClosed: ({ producerId }) => this.#producers.delete(producerId),
    removed: ({ reason }) => (this.refusal = new RtcError('removed', reason)),
  };

  #setPaused(producerId, paused) {
    const producer = this.#producers.get(producerId);
    if (producer !== undefined) this.#producers.set(producerId, { ...producer, paused });
  }

  #settle(id, how, value) {
    const answer = this.#answers.get(id);
    if (answer === undefined) return;
    clearTimeout(answer.timer);
    this.#answers.delete(id);
    answer[how](value);
  }

  #closed() {
    this.#drop();
    if (FINAL.includes(this.refusal?.code)) {
      this.#forget();
      this.#setState(State.REFUSED);
    } else this.#schedule(State.LOST);
  }

  #schedule(state) {
    this.#setState(state);
    clearTimeout(this.#timers.again);
    this.#timers.again = setTimeout(() => void this.#connect(), this.#backoff.next() * 1000);
  }

  #hurry() {
    if (this.state === State.LOST && this.#socket === null) void this.#connect();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    for (const id of [...this.#answers.keys()]) this.#settle(id, 'reject', new RtcError('offline', 'The connection was lost.'));
    socket?.close?.();
  }

  #forget() {
    this.people = new Map();
    this.#producers = new Map();
    this.#peopleChanged();
  }

  #peopleChanged() {
    this.dispatchEvent(new Event('people'));
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
