/**
 * One peer connection set up over HTTP: what WHIP and WHEP have in common (RFC 9725).
 *
 * POST takes the offer to the server, PATCH the candidates that turn up later and new credentials after a
 * change of networks, DELETE ends it. The server is ICE-lite: nothing has to be waited for.
 */
import { candidateFragment, restartFragment, restartedAnswer } from './fragment.js';

const OFFER_SECONDS = 10;
const PATCH_SECONDS = 10;
const DELETE_SECONDS = 2;
const FRAGMENT = 'application/trickle-ice-sdpfrag';
/** Candidates that are found within this time go in one request. */
const GATHER_MILLISECONDS = 100;

/** The server refused, or could not be reached: `status` is 0 then. `code` is the server's, if it gave one. */
export class SessionError extends Error {
  constructor(message, { status = 0, code = '', retryAfter = 0 } = {}) {
    super(message);
    this.name = 'SessionError';
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Whether the server has ended the connection, which says so itself only seconds later. */
export function isEnded(connection) {
  const places = [...connection.getReceivers(), ...connection.getSenders()];
  const transports = places.map(({ transport }) => transport).filter(Boolean);
  const isClosed = transports.length > 0 && transports.every(({ state }) => state === 'closed');
  return isClosed || connection.connectionState === 'closed';
}

export class HttpSession {
  #connection;
  #url;
  #bearer;
  #adjust;
  #location = null;
  #entityTag = null;
  #candidates = [];
  #isGathered = false;
  #timer = 0;
  #isClosed = false;

  /** `bearer` may be null. `adjust` may change the answer's text before the browser sees it. */
  constructor(connection, url, bearer, adjust = (sdp) => sdp) {
    this.#adjust = adjust;
    this.#connection = connection;
    this.#url = new URL(url, location.href);
    this.#bearer = bearer;
    connection.addEventListener('icecandidate', ({ candidate }) => this.#found(candidate));
  }

  /** Offer what the connection has, and take the answer. Throws SessionError. */
  async open(signal) {
    const offer = await this.#connection.createOffer();
    await this.#connection.setLocalDescription(offer);
    const response = await this.#send('POST', this.#url, 'application/sdp', offer.sdp, OFFER_SECONDS, signal);
    if (response.status !== 201) throw await errorOf(response);
    this.#location = new URL(response.headers.get('Location') ?? '', this.#url);
    this.#entityTag = response.headers.get('ETag');
    const sdp = this.#adjust(await response.text());
    if (this.#isClosed) {
      // Ended while the server was at it: it should not wait for a peer that does not come.
      this.#delete();
      return;
    }
    await this.#connection.setRemoteDescription({ type: 'answer', sdp });
    this.#schedule();
  }

  /** Find a way again after the network changed. Throws SessionError where that needs a new session. */
  async restart() {
    const answer = this.#connection.currentRemoteDescription.sdp;
    const offer = await this.#connection.createOffer({ iceRestart: true });
    this.#candidates = [];
    this.#isGathered = false;
    await this.#connection.setLocalDescription(offer);
    const response = await this.#patch(restartFragment(offer.sdp), '*');
    if (response.status !== 200) throw await errorOf(response);
    this.#entityTag = response.headers.get('ETag');
    const sdp = restartedAnswer(answer, await response.text());
    await this.#connection.setRemoteDescription({ type: 'answer', sdp });
    this.#schedule();
  }

  /** Also as the page goes away. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    // Where the server closed it, there is nothing left to be deleted.
    if (this.#location === null || isEnded(this.#connection)) this.#connection.close();
    else this.#delete();
  }

  /** The server is told first: seeing the connection close, it would forget the session that is named here. */
  #delete() {
    const signal = AbortSignal.timeout(DELETE_SECONDS * 1000);
    fetch(this.#location, { method: 'DELETE', headers: this.#headers(), keepalive: true, signal })
      .catch(() => {})
      .finally(() => this.#connection.close());
  }

  #found(candidate) {
    if (candidate === null || candidate.candidate === '') this.#isGathered = true;
    else this.#candidates.push(candidate.candidate);
    if (this.#location !== null) this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (this.#isClosed || (this.#candidates.length === 0 && !this.#isGathered)) return;
    this.#timer = setTimeout(() => void this.#trickle(), GATHER_MILLISECONDS);
  }

  /** Without these the server learns the addresses from the checks, so that a refusal changes nothing. */
  async #trickle() {
    const candidates = this.#candidates.splice(0);
    const sdp = this.#connection.localDescription?.sdp;
    if (!sdp || candidates.length === 0) return;
    const fragment = candidateFragment(sdp, candidates, this.#isGathered);
    await this.#patch(fragment, this.#entityTag).catch(() => {});
  }

  #patch(fragment, entityTag) {
    return this.#send('PATCH', this.#location, FRAGMENT, fragment, PATCH_SECONDS, null, entityTag);
  }

  async #send(method, url, type, body, seconds, signal, entityTag = null) {
    const headers = { ...this.#headers(), 'Content-Type': type, ...(entityTag && { 'If-Match': entityTag }) };
    const limit = AbortSignal.timeout(seconds * 1000);
    const options = { method, headers, body, cache: 'no-store', signal: signal ? AbortSignal.any([signal, limit]) : limit };
    try {
      return await fetch(url, options);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new SessionError(limit.aborted ? 'The server does not answer.' : 'The server cannot be reached.');
    }
  }

  #headers() {
    return this.#bearer === null ? {} : { Authorization: `Bearer ${this.#bearer}` };
  }
}

/** From problem details (RFC 9457), or whatever else the server said. */
async function errorOf(response) {
  const text = await response.text().catch(() => '');
  const problem = parsed(text);
  const message = problem?.detail || problem?.title || (text.length < 200 && text) || `answered ${response.status}`;
  const code = problem?.code ?? problem?.type ?? '';
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  return new SessionError(message, { status: response.status, code, retryAfter });
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}
