/** The way to the stage on the watch page: the hand, the invitation, and who one is up there. */
import { Seat, State } from '../rtc/seat.js';
import { deviceErrorText } from '../studio/words.js';

export class SeatView {
  #seat = null;
  #roomId;
  #token;

  /** `token` is the page's RoomToken. */
  constructor(token) {
    this.#token = token;
    byId('hand').addEventListener('click', () => this.#toggleHand());
    byId('seat-mute').addEventListener('click', () => this.#seat.mute(!this.#seat.isMuted));
    byId('seat-leave').addEventListener('click', () => this.#seat.leave());
    for (const id of ['invitation-both', 'invitation-voice', 'invitation-no']) byId(id).addEventListener('click', () => this.#answer(id));
    byId('invitation').addEventListener('cancel', () => this.#seat.decline());
    addEventListener('pagehide', () => this.#seat?.leave());
  }

  /** `room` is the room's status, null where nobody may come in. */
  show(room) {
    const isOffered = room?.state === 'live' && room.hasStage;
    if (room) this.#roomId = room.roomId;
    byId('hand').hidden = !(isOffered || this.#state !== State.AUDIENCE) || this.#state === State.ON_STAGE;
  }

  get #state() {
    return this.#seat?.state ?? State.AUDIENCE;
  }

  #toggleHand() {
    if (this.#state !== State.AUDIENCE) {
      this.#seat.leave();
      return;
    }
    if (this.#seat === null) this.#makeSeat();
    this.#say('');
    this.#seat.raise();
  }

  #makeSeat() {
    this.#seat = new Seat(this.#roomId, async () => this.#token.value);
    this.#seat.addEventListener('change', () => this.#changed());
    this.#seat.addEventListener('invited', () => byId('invitation').open || byId('invitation').showModal());
    this.#seat.addEventListener('problem', ({ detail }) => this.#say(problemText(detail)));
  }

  #answer(id) {
    byId('invitation').close();
    if (id === 'invitation-no') this.#seat.decline();
    else void this.#seat.accept(id === 'invitation-both');
  }

  #changed() {
    const { state, isMuted, isSilenced, stream } = this.#seat;
    const isRaised = state === State.RAISED || state === State.CONNECTING;
    byId('hand-text').textContent = isRaised ? 'Lower hand' : 'Raise hand';
    byId('hand').setAttribute('aria-pressed', String(isRaised));
    byId('hand').hidden = state === State.ON_STAGE;
    byId('seat').hidden = state !== State.ON_STAGE;
    if (state === State.AUDIENCE && byId('invitation').open) byId('invitation').close();
    byId('seat-mute').textContent = isMuted ? 'Unmute' : 'Mute';
    byId('seat-mute').disabled = isSilenced;
    byId('seat-text').textContent = isSilenced ? 'You are on stage. The host muted you.' : 'You are on stage. The host sees and hears you.';
    const hasPicture = Boolean(stream?.getVideoTracks().length);
    byId('seat-video').hidden = !hasPicture;
    if (byId('seat-video').srcObject !== stream) byId('seat-video').srcObject = stream;
    if (state === State.RAISED) this.#say('The host sees your hand.');
    else if (state !== State.CONNECTING) this.#say('');
  }

  #say(text) {
    if (byId('hand-note').textContent !== text) byId('hand-note').textContent = text;
  }
}

function problemText(error) {
  return error instanceof DOMException ? deviceErrorText(error, 'camera or microphone') : error.message;
}

function byId(id) {
  return document.getElementById(id);
}
