/** What the stage panel says, and in which order it lists people. Pure. */
import { State } from '../rtc/link.js';

const MOST = 100;
const ORDER = { host: 1, 'co-host': 2, speaker: 3, listener: 4 };

/** Raised hands first, then those on stage, then the audience; no more than a page can hold. */
export function listedPeople(people) {
  const rank = ({ handRaised, role }) => (handRaised ? 0 : (ORDER[role] ?? 5));
  return [...people].sort((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name)).slice(0, MOST);
}

export function stageNote(state, others, refusal) {
  if (state === State.REFUSED) return refusal?.message ?? 'The room did not let you in.';
  if (state !== State.OPEN) return 'Reconnecting…';
  const hands = others.filter(({ handRaised }) => handRaised).length;
  if (hands > 0) return hands === 1 ? 'One viewer has raised a hand.' : `${hands} viewers have raised a hand.`;
  if (others.length === 0) return 'Viewers who raise a hand on the watch page appear here.';
  return others.length > MOST ? `${others.length} people; the first ${MOST} are listed.` : '';
}
