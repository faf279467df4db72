/** Which way to play a room is to be taken now that something is known anew. Pure. */

/**
 * The name of the way to change to, or null to go on as it is.
 *
 * `names`: the ways that there are, the best first. `current` is taken now, `wish` the viewer's choice or null.
 * `isFallenBack`: the way taken has given up by itself and plays by another one. `isOn`: a broadcast is on, or
 * only interrupted.
 */
export function wayToTake({ names, current, wish, isFallenBack, isOn }) {
  const wanted = names.includes(wish) ? wish : names[0];
  if (wanted === undefined || wanted === current) return null;
  // What plays is left alone; the next broadcast begins with what is wanted.
  if (isOn && (isFallenBack || names.includes(current))) return null;
  return wanted;
}
