/** What can be given, in the sheet over the chat: a tap gives. Fires 'give', 'tip' and 'shop'. */
import { button, element } from '../chat/dom.js';
import { coinsText } from '../format.js';
import { icon } from '../ui/icons.js';
import { pictureElement } from './catalogue.js';
import { COMBO_MILLISECONDS, Combos } from './combos.js';

const QUANTITIES = [1, 5, 10, 50];
const MOST_TIP = 1_000_000;
const LONGEST_MESSAGE = 200;
const PRESS = [{ transform: 'scale(0.9)' }, { transform: 'none' }];

export class Tray extends EventTarget {
  #sheet;
  #root = null;
  #stillness = matchMedia('(prefers-reduced-motion: reduce)');
  #tiles = new Map();
  #combos = new Combos();
  #quantity = 1;
  #balance;
  #tip = null;

  constructor(sheet) {
    super();
    this.#sheet = sheet;
  }

  get isOpen() {
    return this.#root?.isConnected ?? false;
  }

  open(gifts, coins) {
    const grid = element('ul', { className: 'gift-grid', attributes: { 'aria-label': 'Gifts' } }, ...gifts.map((gift) => this.#tile(gift)));
    this.#root = element('div', { className: 'gift-tray' }, this.#head(), grid, this.#tipForm());
    this.#sheet.open('Send a gift', this.#root);
    this.showCoins(coins);
  }

  /** What is left when all that was tapped is paid; null when that is not known. */
  showCoins(coins) {
    if (this.#root === null) return;
    this.#balance.textContent = coins === null ? '…' : coins.toLocaleString('en');
    this.#balance.title = coins === null ? '' : `You have ${coinsText(coins)}`;
    for (const { gift, tile } of this.#tiles.values()) {
      tile.classList.toggle('is-dear', coins !== null && gift.priceCoins * this.#quantity > coins);
    }
  }

  taken(gift, quantity) {
    this.#combos.add(gift.id, quantity, performance.now());
    this.#showCombo(gift.id);
  }

  given(gift, combo) {
    this.#combos.correct(gift.id, combo, performance.now());
    this.#showCombo(gift.id);
  }

  refused(gift) {
    this.#combos.drop(gift.id);
    this.#showCombo(gift.id);
  }

  /** The tip is paid: the next one is another. */
  tipped() {
    this.#tip?.reset();
  }

  #head() {
    const buy = button('+', () => this.dispatchEvent(new Event('shop')), 'gift-buy');
    Object.assign(buy, { title: 'Get coins', ariaLabel: 'Get coins' });
    this.#balance = element('b', { className: 'gift-balance' });
    const wallet = element('p', { className: 'gift-wallet' }, element('span', { className: 'hidden-text', textContent: 'Your coins: ' }), icon('coin'), this.#balance, buy);
    const choices = QUANTITIES.map((quantity) => this.#choice(quantity));
    const quantity = element('fieldset', { className: 'gift-quantity' }, element('legend', { className: 'hidden-text', textContent: 'How many' }), ...choices);
    return element('div', { className: 'gift-head' }, quantity, wallet);
  }

  #choice(quantity) {
    const input = element('input', { type: 'radio', name: 'gift-quantity', value: quantity, checked: quantity === this.#quantity, className: 'hidden-text' });
    input.addEventListener('change', () => this.#choose(quantity));
    return element('label', {}, input, element('span', { textContent: `×${quantity}` }));
  }

  #choose(quantity) {
    this.#quantity = quantity;
    for (const entry of this.#tiles.values()) this.#showPrice(entry);
    this.dispatchEvent(new Event('quantity'));
  }

  #tile(gift) {
    const price = element('span');
    const combo = element('span', { className: 'gift-combo', attributes: { 'aria-hidden': 'true' } });
    const tile = element(
      'button',
      { type: 'button', className: 'gift-tile' },
      pictureElement(gift.picture, 'gift-picture'),
      element('span', { className: 'gift-name', textContent: gift.name }),
      element('span', { className: 'gift-price' }, icon('coin'), price),
      combo,
    );
    const entry = { gift, tile, price, combo, timer: 0 };
    this.#tiles.set(gift.id, entry);
    this.#showPrice(entry);
    this.#showCombo(gift.id);
    tile.addEventListener('click', () => this.#tapped(entry));
    return element('li', {}, tile);
  }

  #tapped({ gift, tile }) {
    if (!this.#stillness.matches) tile.animate(PRESS, { duration: 150, easing: 'ease-out' });
    this.dispatchEvent(new CustomEvent('give', { detail: { gift, quantity: this.#quantity } }));
  }

  #showPrice({ gift, tile, price }) {
    const cost = gift.priceCoins * this.#quantity;
    price.textContent = cost.toLocaleString('en');
    tile.setAttribute('aria-label', `${this.#quantity > 1 ? `${this.#quantity} × ` : ''}${gift.name}, ${coinsText(cost)}`);
  }

  #showCombo(giftId) {
    const entry = this.#tiles.get(giftId);
    if (entry === undefined) return;
    const count = this.#combos.of(giftId, performance.now());
    entry.combo.textContent = count > 0 ? `×${count.toLocaleString('en')}` : '';
    clearTimeout(entry.timer);
    if (count > 0) entry.timer = setTimeout(() => this.#showCombo(giftId), COMBO_MILLISECONDS + 50);
  }

  #tipForm() {
    const label = { 'aria-label': 'Coins to tip' };
    const coins = element('input', { type: 'number', name: 'coins', min: 1, max: MOST_TIP, step: 1, required: true, placeholder: 'Coins', inputMode: 'numeric', attributes: label });
    const message = element('input', { type: 'text', name: 'message', maxLength: LONGEST_MESSAGE, placeholder: 'Message', attributes: { 'aria-label': 'Message with the tip' } });
    const submit = element('button', { className: 'button is-main', textContent: 'Tip' });
    const form = element('form', { className: 'gift-tip' }, coins, message, submit);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent('tip', { detail: { coins: coins.valueAsNumber, message: message.value.trim() } }));
    });
    this.#tip = form;
    return form;
  }
}
