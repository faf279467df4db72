/** Waits until a room is live, for sources whose own door cannot hold a request back. */
import { Cause, SourceError, errorOfResponse } from './errors.js';

const WAIT_FOR_LIVE_SECONDS = 30;

/** `stream` is the continuous stream's address. Throws SourceError, and the signal's reason when aborted. */
export async function waitLive(stream, signal) {
  const url = new URL(stream, location.href);
  url.searchParams.set('wait', String(WAIT_FOR_LIVE_SECONDS));
  let response;
  try {
    response = await fetch(url, { method: 'HEAD', signal, cache: 'no-store' });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new SourceError(Cause.NETWORK, error.message);
  }
  if (!response.ok) throw errorOfResponse(response);
}
