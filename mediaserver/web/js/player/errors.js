/** Why a source stopped, as far as it decides what happens next. */
export const Cause = Object.freeze({
  NOT_LIVE: 'not live',
  REFUSED: 'refused',
  UNSUPPORTED: 'unsupported',
  MEDIA: 'media',
  NETWORK: 'network',
  /** This way of playing does not work here; another one may. */
  WAY: 'way',
});

export class SourceError extends Error {
  /** `retryAfter` in seconds, as the server asked for. */
  constructor(cause, message, retryAfter = 0) {
    super(message);
    this.name = 'SourceError';
    this.reason = cause;
    this.retryAfter = retryAfter;
  }
}

/** The error that an HTTP answer other than 2xx stands for. */
export function errorOfResponse(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || 0;
  const message = `answered ${response.status}`;
  if (response.status === 401 || response.status === 403) return new SourceError(Cause.REFUSED, message);
  if (response.status === 404) return new SourceError(Cause.NOT_LIVE, message, retryAfter);
  return new SourceError(Cause.NETWORK, message, retryAfter);
}
