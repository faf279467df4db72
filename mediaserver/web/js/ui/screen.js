/** Shows a screen over the picture: what is going on, in words anyone understands. */
import { Screen } from '../player/screens.js';
import { setIcon } from './icons.js';

const WORDS = {
  [Screen.LOADING]: ['pulse', 'Loading', 'The live picture will be here in a moment.'],
  [Screen.WAITING]: ['camera', 'Not live yet', 'Stay here: the stream starts by itself as soon as it is on.'],
  [Screen.INTERRUPTED]: ['pulse', 'The streamer’s connection was interrupted', 'It usually comes back within seconds.'],
  [Screen.RECONNECTING]: ['pulse', 'Reconnecting', 'The connection was lost. It goes on by itself.'],
  [Screen.ENDED]: ['flag', 'The stream has ended', 'Thanks for watching. Should it start again, it plays here by itself.'],
  [Screen.NOT_FOUND]: ['search', 'There is no such room', 'The address may be misspelt, or the room was deleted.'],
  [Screen.FORBIDDEN]: ['lock', 'This room is private', 'Ask its owner for a link that lets you in.'],
  [Screen.UNSUPPORTED]: ['puzzled', 'This browser cannot play the stream', 'Another browser, or a newer version of this one, will.'],
};
const WITH_LINK = new Set([Screen.ENDED, Screen.NOT_FOUND, Screen.FORBIDDEN]);

export class ScreenView {
  #shown = null;
  #player = document.getElementById('player');
  #title = document.getElementById('screen-title');
  #text = document.getElementById('screen-text');
  #link = document.getElementById('screen-link');
  #door = document.getElementById('screen-door');

  /** Why it is so here, instead of what is usual. */
  explain(title, text) {
    this.#title.textContent = title;
    this.#text.textContent = text;
  }

  show(screen) {
    if (screen === this.#shown) return;
    this.#shown = screen;
    if (screen === Screen.LIVE) this.#player.classList.add('has-played');
    this.#player.dataset.screen = screen;
    const [icon, title, text] = WORDS[screen] ?? ['pulse', '', ''];
    setIcon('screen-icon', icon);
    this.#title.textContent = title;
    this.#text.textContent = text;
    this.#link.hidden = !WITH_LINK.has(screen);
    this.#door.hidden = screen !== Screen.FORBIDDEN;
  }
}
