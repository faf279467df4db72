/** The field for a code: what it gives is asked of the server. Fires 'change' with new offers, and 'coins'. */
import { button, element } from '../chat/dom.js';
import { errorText } from '../chat/words.js';
import { coinsText } from '../format.js';

const LONGEST = 32;
const UNKNOWN = [400, 404];

export class CodeField extends EventTarget {
  #api;
  #till;
  #packages;
  #input = element('input', { type: 'text', name: 'code', maxLength: LONGEST, required: true, placeholder: 'Discount or gift code', autocomplete: 'off', autocapitalize: 'characters', spellcheck: false, attributes: { 'aria-label': 'Discount or gift code', 'aria-describedby': 'gift-code-note' } });
  #note = element('p', { id: 'gift-code-note', className: 'gift-code-note', attributes: { role: 'status' } });
  #remove = button('Remove', () => this.clear(), 'chat-link');
  #submit = element('button', { className: 'button', textContent: 'Apply' });
  /** What was applied, as the server writes it; null without. */
  code = null;
  /** Offers by the packages' ids. */
  offers = new Map();
  element;

  constructor({ api, till }, packages) {
    super();
    this.#api = api;
    this.#till = till;
    this.#packages = packages;
    this.#remove.hidden = true;
    const row = element('div', { className: 'gift-code-row' }, this.#input, this.#submit);
    this.element = element('form', { className: 'gift-code', noValidate: true }, row, this.#note, this.#remove);
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#apply(this.#input.value.trim());
    });
    this.#input.addEventListener('input', () => this.#say(''));
  }

  /** Whether an error is of the code, and shown at the field. */
  takes(error) {
    if (this.code === null || !error.code?.startsWith('discount_')) return false;
    this.#use(null, new Map());
    this.#refuse(error);
    return true;
  }

  clear() {
    this.#input.value = '';
    this.#use(null, new Map());
    this.#say('');
    this.#input.focus();
  }

  async #apply(code) {
    if (code === '') return this.#input.focus();
    this.#submit.disabled = true;
    if (this.code !== null) this.#use(null, new Map());
    try {
      const { discount } = await this.#ask({ code });
      if (discount.kind === 'reward') await this.#redeem(discount.code);
      else await this.#discount(discount);
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#submit.disabled = false;
    }
  }

  async #redeem(code) {
    const { coins, wallet } = await this.#till.pay('/discounts/redeem', { code });
    this.#input.value = '';
    this.#say(`${coinsText(coins)} from the code are yours. You have ${coinsText(wallet.coins)} now.`);
    this.dispatchEvent(new CustomEvent('coins', { detail: wallet.coins }));
  }

  async #discount({ code, percent, coins }) {
    const asked = this.#packages.map(async ({ id }) => [id, (await this.#ask({ code, packageId: id })).offer]);
    this.#use(code, new Map(await Promise.all(asked)));
    this.#say(percent > 0 ? `${code}: ${percent} % off.` : `${code}: ${coinsText(coins)} more.`);
  }

  async #ask(body) {
    return (await this.#api.call('POST', '/discounts/validate', { body })).data;
  }

  #use(code, offers) {
    this.code = code;
    this.offers = offers;
    this.#remove.hidden = code === null;
    this.dispatchEvent(new Event('change'));
  }

  #refuse(error) {
    this.#say(errorText(UNKNOWN.includes(error.status) ? { code: 'discount_not_found' } : error), true);
    this.#input.focus();
  }

  #say(text, isWrong = false) {
    this.#note.textContent = text;
    this.#note.classList.toggle('is-wrong', isWrong);
    if (isWrong) this.#input.setAttribute('aria-invalid', 'true');
    else this.#input.removeAttribute('aria-invalid');
  }
}
