import { pause } from '../gifts/pause.js';

const PAUSE_SECONDS = 2;
const MOST_LOOKS = 15;

/**
 * What `ask` answers as soon as that is not null; null after a while.
 *
 * What is paid at a page of somebody else follows within seconds, by an event that the server gets.
 */
export async function askUntil(ask, { wait = pause, looks = MOST_LOOKS } = {}) {
  for (let look = 1; ; look += 1) {
    const answer = await ask();
    if (answer !== null || look >= looks) return answer;
    await wait(PAUSE_SECONDS);
  }
}
