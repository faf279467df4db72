/**
 * How long after its arrival at the server a picture is shown, in seconds; null when nobody can tell. Pure.
 *
 * The server says which media time its newest packet had and how old that packet was. Since then the stream
 * went on in real time. Half the way of the answer is lost to us, which is what the network takes anyway.
 *
 * `room` and `answeredAt` (seconds, as `now`) are the last answer; `position` is the media time shown, or null.
 */
export function latencyOf({ room, answeredAt }, position, now) {
  if (!room?.edge || position === null) return null;
  const edge = room.edge.mediaTime + room.edge.age + (now - answeredAt);
  const latency = edge - position;
  return latency > -0.5 && latency < 60 ? Math.max(0, latency) : null;
}
