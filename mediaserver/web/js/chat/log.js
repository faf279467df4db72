/**
 * The list of what was said.
 *
 * However much arrives, a frame shows a bounded number of lines and the page holds a bounded number of them, and
 * nothing here reads the layout while messages arrive: the list is laid out from its end (column-reverse), so that
 * it stays there by itself, and observers tell whether the end or the beginning is in sight.
 *
 * Somebody who has scrolled up reads: the list then stands still, and begins anew with the newest when they return.
 */
import { Backlog } from './backlog.js';
import { byId } from './dom.js';
import { buildLine } from './line.js';

export const MOST_LINES = 200;
export const LINES_PER_FRAME = 30;

export class ChatLog extends EventTarget {
  #log = byId('chat-log');
  #lines = byId('chat-lines');
  #pill = byId('chat-pill');
  #recent = new Backlog(MOST_LINES);
  #waiting = new Backlog(MOST_LINES);
  #older = [];
  #frame = 0;
  #isReading = false;
  #unseen = 0;
  #me = null;
  #loadOlder;
  #isLoading = false;
  #beginning;
  #context = { me: null, find: (id) => this.find(id) };

  /** `loadOlder(before)` gives a promise of older messages, oldest first; before an offset. */
  constructor(loadOlder) {
    super();
    this.#loadOlder = loadOlder;
    this.#observe('chat-end', '0px 0px 60px', (isSeen) => (isSeen ? this.#resume() : this.#read()));
    this.#beginning = this.#observe('chat-beginning', '120px 0px 0px', (isSeen) => isSeen && void this.#showOlder());
    this.#pill.addEventListener('click', () => this.toNewest());
    this.#lines.addEventListener('click', (event) => this.#clicked(event));
    this.#log.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Whose mentions stand out from now on; null for nobody. */
  set me(userId) {
    if (userId === this.#me) return;
    this.#me = userId;
    this.#context = { ...this.#context, me: userId };
    this.#rebuild();
  }

  get isReading() {
    return this.#isReading;
  }

  find(id) {
    const isIt = (item) => item.id === id;
    return this.#recent.items.findLast(isIt) ?? this.#older.find(isIt);
  }

  reset(items) {
    this.#recent.clear();
    for (const item of items) this.#recent.push(item);
    this.#rebuild();
  }

  add(item) {
    this.#recent.push(item);
    if (this.#isReading) {
      this.#unseen += 1;
      this.#schedule();
      return;
    }
    this.#waiting.push(item);
    this.#schedule();
  }

  /** Let an event say something else. False when it is not the newest line any more, or nobody is there to see it. */
  retell(item, text) {
    if (this.#isReading || this.#recent.items.at(-1) !== item) return false;
    item.text = text;
    if (this.#waiting.size === 0) this.#lines.lastElementChild?.replaceWith(buildLine(item, this.#context));
    return true;
  }

  remove(isUnwanted) {
    for (const item of [...this.#recent.items, ...this.#older]) {
      if (isUnwanted(item)) this.#lines.querySelector(`[data-id="${CSS.escape(item.id ?? '')}"]`)?.remove();
    }
    this.#recent.discard(isUnwanted);
    this.#waiting.discard(isUnwanted);
    this.#older = this.#older.filter((item) => !isUnwanted(item));
  }

  clear() {
    this.#recent.clear();
    this.#rebuild();
  }

  toNewest() {
    this.#rebuild();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  #show() {
    this.#frame = 0;
    this.#showPill();
    if (this.#isReading) return;
    const lines = this.#waiting.take(LINES_PER_FRAME).map((item) => buildLine(item, this.#context));
    this.#lines.append(...lines);
    while (this.#lines.childElementCount > MOST_LINES) this.#lines.firstElementChild.remove();
    if (this.#waiting.size > 0) this.#schedule();
  }

  #showPill() {
    this.#pill.hidden = !this.#isReading;
    const count = this.#unseen >= MOST_LINES ? `${MOST_LINES}+` : this.#unseen;
    this.#pill.textContent = this.#unseen > 0 ? `${count} new ${this.#unseen === 1 ? 'message' : 'messages'} ↓` : 'To the newest ↓';
  }

  #rebuild() {
    this.#waiting.clear();
    this.#older = [];
    this.#unseen = 0;
    this.#isReading = false;
    const items = this.#recent.newest();
    this.#lines.replaceChildren(...items.map((item) => buildLine(item, this.#context)));
    this.#log.scrollTop = 0;
    this.#showPill();
  }

  #read() {
    this.#isReading = true;
    this.#askForBeginning();
    this.#schedule();
  }

  #resume() {
    if (!this.#isReading) return;
    if (this.#unseen > 0 || this.#older.length > 0) this.toNewest();
    this.#isReading = false;
    this.#schedule();
  }

  async #showOlder() {
    if (!this.#isReading || this.#isLoading) return;
    this.#isLoading = true;
    const items = await this.#loadOlder(this.#oldestOffset()).catch(() => []);
    this.#isLoading = false;
    if (!this.#isReading || items.length === 0) return;
    this.#older = [...items, ...this.#older].slice(0, MOST_LINES);
    this.#lines.prepend(...items.map((item) => buildLine(item, this.#context)));
    this.#cutEnd();
    this.#askForBeginning();
  }

  /** Observers tell of changes only, and the beginning may be in sight still. */
  #askForBeginning() {
    this.#beginning.unobserve(byId('chat-beginning'));
    this.#beginning.observe(byId('chat-beginning'));
  }

  /** Positions count from the end, so that of the reader moves by what is cut there. */
  #cutEnd() {
    const before = this.#lines.offsetHeight;
    while (this.#lines.childElementCount > MOST_LINES) this.#lines.lastElementChild.remove();
    this.#log.scrollTop += before - this.#lines.offsetHeight;
  }

  #oldestOffset() {
    const all = [...this.#older, ...this.#recent.newest()];
    return all.find((item) => item.kind === 'message')?.offset ?? null;
  }

  #observe(id, rootMargin, act) {
    const observer = new IntersectionObserver(
      (entries) => {
        const { isIntersecting, rootBounds } = entries.at(-1);
        if (rootBounds?.height > 0) act(isIntersecting);
      },
      { root: this.#log, rootMargin },
    );
    observer.observe(byId(id));
    return observer;
  }

  #clicked(event) {
    const act = event.target.closest('[data-act]')?.dataset.act;
    const line = event.target.closest('.chat-line');
    if (act && line) this.#tell(act, line);
  }

  #key(event) {
    const line = event.target.closest('li');
    if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const next = event.key === 'ArrowUp' ? line?.previousElementSibling : line?.nextElementSibling;
      (line === null ? this.#lines.lastElementChild : next)?.focus();
      event.preventDefault();
    } else if (event.target === line && line.dataset.id && (event.key === 'Enter' || event.key === 'r')) {
      this.#tell(event.key === 'r' ? 'reply' : 'menu', line);
      event.preventDefault();
    } else return;
    event.stopPropagation();
  }

  #tell(act, line) {
    const message = this.find(line.dataset.id);
    if (message) this.dispatchEvent(new CustomEvent(act, { detail: { message, line } }));
  }
}

/** A line that nobody wrote. `actions` make buttons. */
export function eventItem(text, tone = 'quiet', actions = []) {
  return { kind: 'event', text, tone, actions };
}
