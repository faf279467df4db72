/** Buttons for reactions, and the emoji that float up when somebody used them. */
import { byId, button, element } from './dom.js';

export const EMOJI = ['❤️', '😂', '👏', '🔥', '😮', '🎉'];
const MOST_AT_ONCE = 24;
const MOST_OF_ONE_BURST = 8;

export class Reactions {
  #stage = byId('chat-bursts');

  constructor(react) {
    for (const emoji of EMOJI) {
      const made = button(emoji, () => react(emoji), 'chat-emoji');
      made.setAttribute('aria-label', `React with ${emoji}`);
      byId('chat-emoji').append(made);
    }
    this.#stage.addEventListener('animationend', (event) => event.target.remove());
  }

  /** `reactions` counts emoji. */
  burst(reactions) {
    if (document.hidden || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    for (const [emoji, count] of Object.entries(reactions)) {
      for (let number = 0; number < Math.min(count, MOST_OF_ONE_BURST); number += 1) this.#float(emoji);
    }
  }

  #float(emoji) {
    if (this.#stage.childElementCount >= MOST_AT_ONCE) return;
    const floating = element('span', { className: 'chat-float', textContent: emoji });
    floating.style.setProperty('--aside', `${Math.round(Math.random() * 90)}px`);
    floating.style.setProperty('--delay', `${Math.round(Math.random() * 600)}ms`);
    this.#stage.append(floating);
  }
}
