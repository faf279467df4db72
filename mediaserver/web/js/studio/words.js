/** What goes wrong in the studio, in sentences that say what to do. Pure. */

const DEVICE = {
  NotAllowedError: (what) => `The browser may not use your ${what}. Allow it in the address bar’s settings, then try again.`,
  NotFoundError: (what) => `No ${what} was found. Plug one in, then try again.`,
  NotReadableError: (what) => `Your ${what} is used by another program. Close that, then try again.`,
  OverconstrainedError: (what) => `Your ${what} cannot do what was asked of it. Choose another one or a lower quality.`,
  AbortError: (what) => `Your ${what} did not start. Try again.`,
};
const SERVER = {
  0: 'The server cannot be reached.',
  401: 'The server does not accept your right to publish here any more. Sign in again.',
  403: 'You may not publish to this room.',
  404: 'This server takes no broadcasts from the browser, or the room is gone.',
  405: 'This server takes no broadcasts from the browser.',
  406: 'The server can use none of the codecs that this browser sends.',
  409: 'Somebody else is publishing to this room.',
  415: 'The server does not understand this browser.',
  422: 'The server can use none of what this browser sends.',
  429: 'Too many attempts. Wait a little.',
  503: 'The server is full, or starting. It is tried again.',
};

/** `what` is "camera", "microphone", "camera and microphone" or "screen". */
export function deviceErrorText(error, what) {
  return DEVICE[error.name]?.(what) ?? `Your ${what} did not start: ${error.message || error.name}`;
}

/** Why there are no devices at all, or null. */
export function missingText({ isSecureContext, mediaDevices, hasWebRtc }) {
  if (!isSecureContext) return 'Browsers give camera and microphone only to pages that come by https. Open this page by its https address.';
  if (!mediaDevices || !hasWebRtc) return 'This browser cannot publish. A current Chrome, Edge, Firefox or Safari can.';
  return null;
}

/** Of a SessionError or an error of the API. */
export function publishErrorText({ status = 0, code = '', message = '' }) {
  if (code === 'not_room_owner') return 'Only the owner of the room can go live in it.';
  const sentence = SERVER[status] ?? (status >= 500 ? 'The server failed.' : 'The server refused.');
  const isOwnWords = message && !/^(answered|The server|\d{3}: )/.test(message);
  return isOwnWords ? `${sentence} (${message})` : sentence;
}

/** Whether trying again by itself may help. */
export function isPassing({ status = 0 }) {
  return status === 0 || status === 429 || status >= 500;
}
