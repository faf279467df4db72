/** Sends tracks into a room over a transport of `/rtc`. */
import { answerOf, readOffer, sendingParameters } from './offer.js';

export class Sending {
  #link;
  #connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #transportId = null;
  #producers = {};

  constructor(link) {
    this.#link = link;
  }

  get connectionState() {
    return this.#connection.connectionState;
  }

  /** `tracks` are sent from now on. Throws an RtcError, or an Error where the room can take none of them. */
  async open(tracks) {
    const server = await this.#link.ask('createWebRtcTransport');
    this.#transportId = server.id;
    for (const track of tracks) this.#connection.addTransceiver(track, { direction: 'sendonly' });
    const offer = await this.#connection.createOffer();
    await this.#connection.setLocalDescription(offer);
    const read = readOffer(offer.sdp);
    const taken = read.sections.map((section) => sendingParameters(section, this.#link.capabilities));
    if (taken.every((parameters) => parameters === null)) throw new Error('The room can take nothing of what this browser sends.');
    // The server waits for the browser to begin the handshake.
    const dtlsParameters = { role: 'client', fingerprints: [read.fingerprint] };
    await this.#link.ask('connectWebRtcTransport', { transportId: server.id, dtlsParameters });
    for (const [n, rtpParameters] of taken.entries()) if (rtpParameters !== null) await this.#produce(read.sections[n].kind, rtpParameters);
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: answerOf(read, taken, server) });
  }

  /** So that others can see who is muted. */
  async pause(kind, isPaused) {
    const producerId = this.#producers[kind];
    if (producerId) await this.#link.ask(isPaused ? 'pauseProducer' : 'resumeProducer', { producerId });
  }

  close() {
    if (this.#transportId !== null) this.#link.ask('closeTransport', { transportId: this.#transportId }).catch(() => {});
    this.#connection.close();
  }

  async #produce(kind, rtpParameters) {
    const { id } = await this.#link.ask('produce', { transportId: this.#transportId, kind, rtpParameters });
    this.#producers[kind] = id;
  }
}
