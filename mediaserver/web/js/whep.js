/** Watches a room by WHEP: a peer connection that only receives. */
import { HttpSession } from './webrtc/http_session.js';

export function canPlayWebRtc() {
  return globalThis.RTCPeerConnection !== undefined && 'addTransceiver' in RTCPeerConnection.prototype;
}

export class WhepClient {
  #session;
  #goodbye = () => this.close();

  /** What comes, to be given to an element. */
  stream = new MediaStream();

  /** `url` is the room's WHEP address; `bearer` a playback token, or null where everybody may watch. */
  constructor(url, bearer = null) {
    this.connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    for (const kind of ['video', 'audio']) this.connection.addTransceiver(kind, { direction: 'recvonly' });
    this.connection.addEventListener('track', ({ track }) => this.stream.addTrack(track));
    this.#session = new HttpSession(this.connection, url, bearer);
    addEventListener('pagehide', this.#goodbye);
  }

  /** Throws SessionError, and the signal's reason when aborted. */
  async open(signal) {
    await this.#session.open(signal);
  }

  /** See HttpSession.restart. */
  async restart() {
    await this.#session.restart();
  }

  close() {
    removeEventListener('pagehide', this.#goodbye);
    this.#session.close();
  }
}
