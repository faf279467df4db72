/** Publishes to a room by WHIP (RFC 9725): a peer connection that only sends. */
import { startingAt } from './webrtc/fragment.js';
import { HttpSession } from './webrtc/http_session.js';

/** What every output of the server can carry on as it is comes first. */
const PREFERRED = ['video/H264', 'video/VP8'];
/** Of what may be sent at most, so that the first seconds are no blur. */
const START_SHARE = 0.5;

export class WhipClient {
  #session;
  #goodbye = () => this.close();
  #senders = {};
  #limits;

  /**
   * `tracks`: `{video, audio}`, either of them null. A missing track gets its place all the same, so that it
   * can come later. `limits`: `{bitrate, frameRate, keeps}`, see `limit`.
   */
  constructor(url, bearer, tracks, limits) {
    this.connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    for (const kind of ['audio', 'video']) this.#add(kind, tracks[kind]);
    this.#limits = limits;
    this.#session = new HttpSession(this.connection, url, bearer, (sdp) => startingAt(sdp, limits.bitrate * START_SHARE));
    addEventListener('pagehide', this.#goodbye);
  }

  #add(kind, track) {
    const transceiver = this.connection.addTransceiver(track ?? kind, { direction: 'sendonly' });
    if (kind === 'video') preferCodecs(transceiver);
    this.#senders[kind] = transceiver.sender;
  }

  /** Throws SessionError, and the signal's reason when aborted. */
  async open(signal) {
    await this.#session.open(signal);
    await this.limit(this.#limits);
  }

  /** See HttpSession.restart. */
  async restart() {
    await this.#session.restart();
  }

  /** Send `track` from now on; null sends nothing. */
  async replace(kind, track) {
    await this.#senders[kind].replaceTrack(track);
  }

  /** `bitrate` in bit/s and `frameRate` at most; `keeps` what to keep when there is less room for it. */
  async limit({ bitrate, frameRate, keeps }) {
    const sender = this.#senders.video;
    const parameters = sender.getParameters();
    if (!parameters.encodings?.length) return;
    parameters.degradationPreference = keeps;
    for (const encoding of parameters.encodings) {
      encoding.maxBitrate = bitrate;
      encoding.maxFramerate = frameRate;
    }
    // A browser that refuses sends what it thinks best.
    await sender.setParameters(parameters).catch(() => {});
  }

  close() {
    removeEventListener('pagehide', this.#goodbye);
    this.#session.close();
  }
}

function preferCodecs(transceiver) {
  const { codecs = [] } = RTCRtpSender.getCapabilities?.('video') ?? {};
  if (codecs.length === 0 || !('setCodecPreferences' in transceiver)) return;
  const rank = ({ mimeType }) => {
    const place = PREFERRED.indexOf(mimeType);
    return place < 0 ? PREFERRED.length : place;
  };
  transceiver.setCodecPreferences([...codecs].sort((one, other) => rank(one) - rank(other)));
}
