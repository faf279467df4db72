/** Coins for money: what they are sold for, and the way to the checkout, which is a page of somebody else. */
import { button, element } from '../chat/dom.js';
import { coinsText, moneyText } from '../format.js';
import { checked, listen, openTab, waitingFor } from '../money/checkout.js';
import { BROKEN_OFF, ON_THEIR_WAY } from '../money/outcomes.js';
import { icon } from '../ui/icons.js';
import { CodeField } from './code_field.js';

const LOOK_AGAIN_SECONDS = 2;
const MOST_LOOKS = 10;

export class Shop {
  #api;
  #till;
  #wallet;
  #sheet;
  #back;
  #code = null;
  #waiting = null;
  #timer = 0;

  /** `back` opens the gifts. */
  constructor({ api, till, wallet, sheet, back }) {
    this.#api = api;
    this.#till = till;
    this.#wallet = wallet;
    this.#sheet = sheet;
    this.#back = back;
    wallet.addEventListener('change', () => this.#walletChanged());
    listen('purchase', (outcome) => this.#returned(outcome));
  }

  /** `reason` says why somebody is here who wanted something else. */
  async open(reason = '') {
    const list = element('ul', { className: 'gift-packages' });
    const back = button('Back to the gifts', () => this.#back(), 'chat-link');
    this.#sheet.open('Get coins', element('p', { className: 'gift-reason', textContent: reason, attributes: { role: 'status' } }), list, back);
    const isLoaded = await this.#sheet.attempt(async () => {
      const { data } = await this.#api.call('GET', '/coin-packages?limit=100');
      this.#code = this.#codeField(data, list);
      this.#show(data, list);
      if (data.length === 0) throw { code: 'payments_not_configured' };
      back.before(this.#code.element);
    });
    if (isLoaded && list.isConnected) list.querySelector('button').focus({ preventScroll: true });
  }

  /** Somebody is back at the page, maybe from the checkout; what they paid follows within seconds. */
  look(looks = MOST_LOOKS) {
    clearTimeout(this.#timer);
    if (!this.#waiting?.root.isConnected || document.hidden) return;
    if (looks === 0) {
      if (this.#waiting.isPaid) this.#waiting.root.querySelector('.gift-reason').textContent = ON_THEIR_WAY.purchase;
      return;
    }
    this.#wallet.refresh().catch(() => {});
    this.#timer = setTimeout(() => this.look(looks - 1), LOOK_AGAIN_SECONDS * 1000);
  }

  #codeField(packages, list) {
    const field = new CodeField({ api: this.#api, till: this.#till }, packages);
    field.addEventListener('change', () => this.#show(packages, list));
    field.addEventListener('coins', ({ detail }) => this.#wallet.set(detail));
    return field;
  }

  #show(packages, list) {
    list.replaceChildren(...packages.map((offer) => element('li', {}, this.#offer(offer))));
  }

  /** With the code's price beside the usual one. */
  #offer(offer) {
    const { coins, amount } = this.#code.offers.get(offer.id) ?? { coins: offer.coins, amount: offer.price };
    const price = moneyText(amount, offer.currency);
    const usual = amount < offer.price ? element('s', { textContent: moneyText(offer.price, offer.currency) }) : null;
    const words = element('b', { textContent: coinsText(coins) });
    const more = coins > offer.coins ? element('span', { className: 'gift-package-more', textContent: `+${(coins - offer.coins).toLocaleString('en')}` }) : null;
    const made = button('', () => void this.#buy(offer, coins), 'gift-package');
    made.append(...[icon('coin'), words, more, element('span', { className: 'gift-package-price' }, usual, price)].filter((part) => part !== null));
    made.setAttribute('aria-label', `${offer.name}: ${coinsText(coins)} for ${price}${usual ? `, instead of ${usual.textContent}` : ''}`);
    return made;
  }

  async #buy(offer, coins) {
    const tab = openTab();
    const isDone = await this.#sheet.attempt(async () => {
      const body = { packageId: offer.id, ...(this.#code.code && { discountCode: this.#code.code }) };
      const purchase = await this.#ask(body);
      if (purchase === null) return tab.close();
      const address = checked(purchase.checkoutUrl);
      tab.go(address);
      this.#wait(coins, address, tab.isBlocked);
    });
    if (!isDone) tab.close();
  }

  /** Null when it was the code that was refused, which its field says. */
  async #ask(body) {
    try {
      return await this.#till.pay('/purchases', body);
    } catch (error) {
      if (this.#code.takes(error)) return null;
      throw error;
    }
  }

  #wait(coins, address, isBlocked) {
    const words = `Your ${coinsText(coins)} are here as soon as it is paid.`;
    const root = waitingFor(icon('coin'), words, address, isBlocked, button('Back to the gifts', () => this.#back(), 'chat-link'));
    this.#waiting = { root, before: this.#wallet.coins ?? 0, isPaid: false };
    this.#sheet.open('Waiting for the payment', root);
    this.look();
  }

  /** The other tab is back from the checkout. */
  #returned(outcome) {
    if (!this.#waiting?.root.isConnected) return;
    if (outcome === 'cancelled') {
      this.#waiting = null;
      void this.open(BROKEN_OFF.purchase);
      return;
    }
    this.#waiting.isPaid = true;
    this.look();
  }

  #walletChanged() {
    if (!this.#waiting?.root.isConnected || this.#wallet.coins <= this.#waiting.before) return;
    this.#waiting = null;
    this.#back();
  }
}
