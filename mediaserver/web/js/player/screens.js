/** Which screen a viewer sees, from what is known. Pure. */

export const Screen = Object.freeze({
  LOADING: 'loading',
  WAITING: 'waiting',
  LIVE: 'live',
  PAUSED: 'paused',
  INTERRUPTED: 'interrupted',
  RECONNECTING: 'reconnecting',
  ENDED: 'ended',
  NOT_FOUND: 'not-found',
  FORBIDDEN: 'forbidden',
  UNSUPPORTED: 'unsupported',
});

/** What the last look at the room's status said. */
export const Reach = Object.freeze({
  UNKNOWN: 'unknown',
  OK: 'ok',
  NOT_FOUND: 'not found',
  FORBIDDEN: 'forbidden',
  UNREACHABLE: 'unreachable',
});

/** How the media connection is doing. */
export const Link = Object.freeze({
  CONNECTING: 'connecting',
  PLAYING: 'playing',
  STARVED: 'starved',
  LOST: 'lost',
  PAUSED: 'paused',
  UNSUPPORTED: 'unsupported',
});

/** `room` is the room's state as the server names it; `hasPlayed` whether anything was seen before. */
export function chooseScreen({ reach, room, link, hasPlayed }) {
  if (reach === Reach.NOT_FOUND) return Screen.NOT_FOUND;
  if (reach === Reach.FORBIDDEN) return Screen.FORBIDDEN;
  if (link === Link.PLAYING) return Screen.LIVE;
  if (link === Link.PAUSED) return Screen.PAUSED;
  if (reach === Reach.UNREACHABLE) return Screen.RECONNECTING;
  if (reach === Reach.UNKNOWN) return Screen.LOADING;
  if (room === 'ended') return Screen.ENDED;
  if (room === 'waiting') return hasPlayed ? Screen.ENDED : Screen.WAITING;
  if (link === Link.UNSUPPORTED) return Screen.UNSUPPORTED;
  if (room === 'interrupted') return Screen.INTERRUPTED;
  return hasPlayed ? Screen.RECONNECTING : Screen.LOADING;
}
