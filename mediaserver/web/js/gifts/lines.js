/** The chat's lines for what was given: a combo is one line, which counts up as long as nothing else is said. */
import { eventItem } from '../chat/log.js';
import { eventLine } from '../chat/words.js';

const PICTURES = { tip: null, subscription: '⭐' };

export class GiftLines {
  #log;
  #find;
  #last = null;

  /** `find` gives a gift by its slug. */
  constructor(log, find) {
    this.#log = log;
    this.#find = find;
  }

  add({ t, d }) {
    if (t !== 'gift') {
      this.#say(t, d, PICTURES[t]);
      return;
    }
    const together = this.#together(d);
    const isTold = together !== null && this.#log.retell(this.#last.item, this.#text(t, together));
    if (isTold) this.#last.d = together;
    else this.#last = { item: this.#say(t, d, this.#find(d.gift).picture), d };
  }

  /** Both as one, if this belongs to the combo of before. */
  #together(d) {
    const before = this.#last?.d;
    const isSame = before?.from.userId === d.from.userId && before.gift === d.gift && d.combo > d.quantity;
    return isSame ? { ...d, quantity: before.quantity + d.quantity, coins: before.coins + d.coins } : null;
  }

  #say(t, d, picture) {
    const item = { ...eventItem(this.#text(t, d), 'gift'), picture };
    this.#log.add(item);
    return item;
  }

  #text(t, d) {
    return eventLine({ t, d }, (slug) => this.#find(slug).name).text;
  }
}
