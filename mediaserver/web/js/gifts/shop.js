/** Coins for money: what they are sold for, and the way to the checkout, which is a page of somebody else. */
import { button, element } from '../chat/dom.js';
import { coinsText, moneyText } from '../format.js';
import { icon } from '../ui/icons.js';

const LOOK_AGAIN_SECONDS = 2;
const MOST_LOOKS = 10;

export class Shop {
  #api;
  #till;
  #wallet;
  #sheet;
  #back;
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
  }

  /** `reason` says why somebody is here who wanted something else. */
  async open(reason = '') {
    const list = element('ul', { className: 'gift-packages' });
    const back = button('Back to the gifts', () => this.#back(), 'chat-link');
    this.#sheet.open('Get coins', element('p', { className: 'gift-reason', textContent: reason, attributes: { role: 'status' } }), list, back);
    await this.#sheet.attempt(async () => {
      const { data } = await this.#api.call('GET', '/coin-packages?limit=100');
      list.replaceChildren(...data.map((offer) => element('li', {}, this.#offer(offer))));
      if (data.length === 0) throw { code: 'payments_not_configured' };
      if (list.isConnected) list.querySelector('button').focus({ preventScroll: true });
    });
  }

  /** Somebody is back at the page, maybe from the checkout; what they paid follows within seconds. */
  look(looks = MOST_LOOKS) {
    clearTimeout(this.#timer);
    if (!this.#waiting?.root.isConnected || document.hidden || looks === 0) return;
    this.#wallet.refresh().catch(() => {});
    this.#timer = setTimeout(() => this.look(looks - 1), LOOK_AGAIN_SECONDS * 1000);
  }

  #offer(offer) {
    const made = button('', () => void this.#buy(offer), 'gift-package');
    const price = moneyText(offer.price, offer.currency);
    made.append(icon('coin'), element('b', { textContent: coinsText(offer.coins) }), element('span', { className: 'gift-package-price', textContent: price }));
    made.setAttribute('aria-label', `${offer.name}: ${coinsText(offer.coins)} for ${price}`);
    return made;
  }

  /** The tab must be opened while the click is handled: browsers take one for an advertisement later on. */
  async #buy(offer) {
    const tab = window.open('', '_blank');
    const isDone = await this.#sheet.attempt(async () => {
      const { checkoutUrl } = await this.#till.pay('/purchases', { packageId: offer.id });
      const address = checked(checkoutUrl);
      if (tab !== null) {
        tab.opener = null;
        tab.location.replace(address);
      }
      this.#wait(offer, address, tab === null);
    });
    if (!isDone) tab?.close();
  }

  #wait(offer, address, isBlocked) {
    const words = isBlocked ? 'Your browser opened no tab. Follow the link to pay.' : 'Pay in the other tab.';
    const link = element('a', { className: 'button is-main gift-checkout', href: address, target: '_blank', rel: 'noopener', textContent: isBlocked ? 'To the checkout' : 'Open the checkout again' });
    const text = element('p', { className: 'gift-reason', textContent: `${words} Your ${coinsText(offer.coins)} are here as soon as it is paid.` });
    const root = element('div', { className: 'gift-waiting' }, icon('coin'), text, link, button('Back to the gifts', () => this.#back(), 'chat-link'));
    this.#waiting = { root, before: this.#wallet.coins ?? 0 };
    this.#sheet.open('Waiting for the payment', root);
    this.look();
  }

  #walletChanged() {
    if (!this.#waiting?.root.isConnected || this.#wallet.coins <= this.#waiting.before) return;
    this.#waiting = null;
    this.#back();
  }
}

/** Only a page of the web is gone to. */
function checked(address) {
  if (!/^https?:\/\//.test(address ?? '')) throw { code: 'payment_provider_refused' };
  return address;
}
