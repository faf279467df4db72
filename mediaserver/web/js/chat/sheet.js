/** What comes up over the foot of the panel, or over a page: forms and menus. One at a time; Escape closes it. */
import { byId } from './dom.js';
import { errorText } from './words.js';

export class Sheet {
  #name;
  #sheet;
  #before = null;

  /** `name` is the element's id, and the beginning of its parts' ids. */
  constructor(name = 'chat-sheet') {
    this.#name = name;
    this.#sheet = byId(name);
    this.#part('close').addEventListener('click', () => this.close());
    this.#sheet.addEventListener('keydown', (event) => this.#key(event));
  }

  get isOpen() {
    return !this.#sheet.hidden;
  }

  open(title, ...content) {
    if (this.#sheet.hidden) this.#before = document.activeElement;
    this.#part('title').textContent = title;
    this.#part('body').replaceChildren(...content);
    this.say('');
    this.#sheet.hidden = false;
    (this.#part('body').querySelector('input, select, button') ?? this.#part('close')).focus();
  }

  close() {
    if (this.#sheet.hidden) return;
    this.#sheet.hidden = true;
    this.#part('body').replaceChildren();
    if (this.#before?.isConnected) this.#before.focus();
    this.#before = null;
  }

  say(text) {
    this.#part('note').textContent = text;
  }

  /** Do something that may be refused, and say why if so. Whether it was done. */
  async attempt(work) {
    this.say('');
    const focused = document.activeElement;
    this.#sheet.inert = true;
    try {
      await work();
      return true;
    } catch (error) {
      this.say(errorText(error));
      return false;
    } finally {
      this.#sheet.inert = false;
      if (document.activeElement === document.body && focused?.isConnected) focused.focus();
    }
  }

  #part(part) {
    return byId(`${this.#name}-${part}`);
  }

  #key(event) {
    if (event.key === 'Escape') this.close();
    else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') this.#step(event);
  }

  /** Through the buttons of a menu; fields keep their arrows. */
  #step(event) {
    const buttons = [...this.#part('body').querySelectorAll('button')];
    const now = buttons.indexOf(event.target);
    if (now < 0) return;
    const step = event.key === 'ArrowDown' ? 1 : buttons.length - 1;
    buttons[(now + step) % buttons.length].focus();
    event.preventDefault();
  }
}
