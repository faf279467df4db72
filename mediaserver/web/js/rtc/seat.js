/**
 * A viewer's way to the stage: raise a hand, be invited, come with camera and microphone, leave again.
 *
 * Fires 'change' when `state` or `isMuted` changes, 'invited', and 'problem' with an Error as its detail. The
 * connection is made only by somebody who raises a hand.
 */
import { RtcLink, State as LinkState } from './link.js';
import { Sending } from './sending.js';

export const State = Object.freeze({ AUDIENCE: 'audience', CONNECTING: 'connecting', RAISED: 'raised', ON_STAGE: 'on stage' });

const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const VIDEO = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 }, facingMode: 'user' };

export class Seat extends EventTarget {
  #link;
  #sending = null;
  #stream = null;
  state = State.AUDIENCE;
  isMuted = false;
  /** Whether a moderator did it: only a moderator can undo that. */
  isSilenced = false;

  /** `token` gives a promise of a playback token, or of null. */
  constructor(roomId, token) {
    super();
    this.#link = new RtcLink(roomId, token);
    this.#link.addEventListener('state', () => this.#linkChanged());
    this.#link.addEventListener('people', () => this.#placeChanged());
    this.#link.addEventListener('told', ({ detail: { method, data } }) => this.#told[method]?.(data));
  }

  /** What the others see of this viewer; null in the audience. */
  get stream() {
    return this.#stream;
  }

  raise() {
    this.#set(State.CONNECTING);
    if (this.#link.state === LinkState.OPEN) void this.#raise();
    else this.#link.start();
  }

  /** Back to where one was before: no hand raised, not on stage, no connection. */
  leave() {
    this.#stopSending();
    this.#link.stop();
    this.#set(State.AUDIENCE);
  }

  /** After 'invited'. `hasVideo` false comes with the voice alone. */
  async accept(hasVideo) {
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: AUDIO, video: hasVideo && VIDEO });
    } catch (error) {
      this.#link.ask('declineInvitation').catch(() => {});
      this.#problem(error);
      return;
    }
    try {
      await this.#link.ask('acceptInvitation');
      await this.#send();
    } catch (error) {
      this.#stopSending();
      this.#problem(error);
    }
  }

  decline() {
    this.#link.ask('declineInvitation').catch(() => {});
  }

  mute(isMuted) {
    if (this.isSilenced && !isMuted) return;
    this.isMuted = isMuted;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !isMuted;
    this.#sending?.pause('audio', isMuted).catch(() => {});
    this.dispatchEvent(new Event('change'));
  }

  async #raise() {
    try {
      await this.#link.ask('raiseHand');
      this.#set(State.RAISED);
    } catch (error) {
      this.leave();
      this.#problem(error);
    }
  }

  async #send() {
    this.#sending = new Sending(this.#link);
    await this.#sending.open(this.#stream.getTracks());
    this.isMuted = false;
    this.isSilenced = false;
    this.#set(State.ON_STAGE);
  }

  #stopSending() {
    this.#sending?.close();
    this.#sending = null;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }

  #linkChanged() {
    const { state, refusal, isResumed } = this.#link;
    if (state === LinkState.REFUSED) {
      this.#stopSending();
      this.#set(State.AUDIENCE);
      this.#problem(refusal);
    } else if (state === LinkState.OPEN && this.state === State.CONNECTING) void this.#raise();
    else if (state === LinkState.OPEN && this.state !== State.AUDIENCE && !isResumed) this.#beginAnew();
  }

  /** The server has forgotten this participant. */
  #beginAnew() {
    this.#stopSending();
    this.raise();
  }

  /** A moderator may have sent this viewer back to the audience. */
  #placeChanged() {
    const own = this.#link.people.get(this.#link.me);
    if (own?.role === 'listener' && this.state === State.ON_STAGE) this.leave();
  }

  #told = {
    invited: () => this.dispatchEvent(new Event('invited')),
    muted: ({ kinds }) => kinds.includes('audio') && this.#silenced(true),
    unmuted: ({ kinds }) => kinds.includes('audio') && this.#silenced(false),
  };

  /** Being allowed to speak again opens no microphone. */
  #silenced(isSilenced) {
    this.isSilenced = isSilenced;
    if (isSilenced) this.mute(true);
    else this.dispatchEvent(new Event('change'));
  }

  #problem(error) {
    this.#set(this.#sending === null && this.state === State.CONNECTING ? State.AUDIENCE : this.state);
    this.dispatchEvent(new CustomEvent('problem', { detail: error }));
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }
}
