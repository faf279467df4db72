/** Calls of /api/v1 as the page's session: the cookie goes along, and the token that proves it is this page. */

const PREFIX = '/api/v1';
const TIMEOUT_SECONDS = 15;

export class ApiError extends Error {
  constructor({ code, message, retryAfter = null, status = 0 }) {
    super(message);
    Object.assign(this, { code, retryAfter, status });
  }
}

export class Api {
  /** Known once somebody has signed in. */
  csrfToken = null;

  /** `{data, meta, etag}` of the answer. Throws ApiError. */
  async call(method, path, { body, ifMatch, idempotencyKey } = {}) {
    const headers = { Accept: 'application/json' };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (method !== 'GET' && this.csrfToken !== null) headers['X-CSRF-Token'] = this.csrfToken;
    if (ifMatch) headers['If-Match'] = ifMatch;
    if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
    const response = await this.#fetch(PREFIX + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw errorOf(response, answer);
    return { data: answer.data, meta: answer.meta ?? {}, etag: response.headers.get('ETag') };
  }

  async #fetch(address, options) {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
      return await fetch(address, { ...options, signal, cache: 'no-store', credentials: 'same-origin' });
    } catch {
      throw new ApiError({ code: 'unreachable', message: 'The server cannot be reached.' });
    }
  }
}

function errorOf(response, answer) {
  const detail = answer.details?.map(({ field, message }) => `${field} ${message}`).join('; ');
  return new ApiError({
    code: answer.code ?? 'unknown',
    message: detail || answer.error || `The server answered ${response.status}.`,
    retryAfter: Number(response.headers.get('Retry-After')) || null,
    status: response.status,
  });
}
