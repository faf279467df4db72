/** The plans of a creator: make one, change it, end it. */
import { button, byId, element, field } from '../chat/dom.js';
import { errorText } from '../chat/words.js';
import { moneyText } from '../format.js';
import { minorUnits, typedAmount } from '../money/amounts.js';
import { priceText } from '../money/outcomes.js';

const PRICES = { least: 100, most: 10_000_000 };
const EMPTY = 'No plans yet. With one, viewers find a Subscribe button beside your name.';

export class Plans {
  #api;
  #sheet;
  #currency;
  #userId = null;

  /** `currency` gives that of new plans. */
  constructor(api, sheet, currency) {
    this.#api = api;
    this.#sheet = sheet;
    this.#currency = currency;
    byId('plan-new').addEventListener('click', () => this.#edit(null));
  }

  /** Throws ApiError the first time. */
  async load(userId) {
    this.#userId = userId;
    const { data } = await this.#api.call('GET', `/users/${userId}/plans?limit=100`);
    byId('plans').replaceChildren(...data.map((plan) => this.#row(plan)));
    this.#say(data.length === 0 ? EMPTY : '');
  }

  #say(text) {
    byId('plans-note').textContent = text;
  }

  #row(plan) {
    const prices = [['month', plan.monthlyPrice], ['year', plan.yearlyPrice]]
      .filter(([, price]) => price !== null)
      .map(([interval, price]) => priceText(price, plan.currency ?? this.#currency(), interval));
    const words = element('div', { className: 'row-words' }, element('b', { textContent: plan.name }), element('span', { className: 'faint', textContent: prices.join(' · ') }));
    if (!plan.active) words.append(element('span', { className: 'badge', textContent: 'Not offered' }));
    const turn = button(plan.active ? 'Retire' : 'Offer again', () => this.#turn(plan));
    const change = button('Change', () => this.#edit(plan));
    for (const one of [turn, change]) one.setAttribute('aria-label', `${one.textContent}: ${plan.name}`);
    return element('li', { className: plan.active ? '' : 'is-off' }, words, element('span', { className: 'actions' }, change, turn));
  }

  /** Ending a plan is asked about, offering it again is not. */
  #turn(plan) {
    if (!plan.active) return void this.#setActive(plan, true);
    const text = element('p', { textContent: 'Nobody can subscribe to it any more. Who has, stays a subscriber and goes on paying.' });
    const sure = button('Retire the plan', () => void this.#setActive(plan, false), 'button is-main');
    this.#sheet.open(`Retire “${plan.name}”?`, text, sure, button('Keep it', () => this.#sheet.close(), 'chat-link'));
  }

  async #setActive(plan, active) {
    const change = () => this.#api.call('PATCH', `/plans/${plan.id}`, { body: { active } });
    if (this.#sheet.isOpen) {
      if (await this.#sheet.attempt(change)) await this.#changed();
      return;
    }
    await change().then(() => this.#changed(), (error) => this.#say(errorText(error)));
  }

  async #changed() {
    this.#sheet.close();
    await this.load(this.#userId).catch((error) => this.#say(errorText(error)));
    byId('plan-new').focus();
  }

  #edit(plan) {
    const currency = plan?.currency ?? this.#currency();
    const typed = (amount) => (amount === null || amount === undefined ? '' : typedAmount(amount, currency));
    const price = (name, value) => element('input', { type: 'text', name, value, inputMode: 'decimal', autocomplete: 'off', placeholder: 'not offered' });
    const name = element('input', { type: 'text', name: 'name', value: plan?.name ?? '', maxLength: 50, required: true, autocomplete: 'off' });
    const about = element('textarea', { name: 'description', value: plan?.description ?? '', maxLength: 500, rows: 3 });
    const [monthly, yearly] = [price('monthly', typed(plan?.monthlyPrice)), price('yearly', typed(plan?.yearlyPrice))];
    const unit = currency.toUpperCase();
    const small = plan === null ? [] : [element('p', { className: 'faint', textContent: 'New prices are for new subscribers; the others keep theirs.' })];
    const prices = element('div', { className: 'pair' }, field(`A month, in ${unit}`, monthly), field(`A year, in ${unit}`, yearly));
    const form = element('form', { className: 'chat-sheet-form' }, field('Name', name), field('What subscribers get', about), prices, ...small, element('button', { className: 'button is-main', textContent: plan === null ? 'Offer it' : 'Save' }));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save(plan, currency, { name, about, monthly, yearly });
    });
    this.#sheet.open(plan === null ? 'New plan' : 'Change the plan', form);
  }

  async #save(plan, currency, fields) {
    const isDone = await this.#sheet.attempt(async () => {
      const body = {
        name: fields.name.value.trim(),
        description: fields.about.value.trim(),
        monthlyPrice: priceOf(fields.monthly, currency),
        yearlyPrice: priceOf(fields.yearly, currency),
      };
      if (body.monthlyPrice === null && body.yearlyPrice === null) throw { message: 'A plan needs a price: for a month, for a year, or both.' };
      if (plan === null) await this.#api.call('POST', '/plans', { body });
      else await this.#api.call('PATCH', `/plans/${plan.id}`, { body });
    });
    if (isDone) await this.#changed();
  }
}

/** Null for an empty field. Throws what the sheet says. */
function priceOf(input, currency) {
  input.removeAttribute('aria-invalid');
  if (input.value.trim() === '') return null;
  const amount = minorUnits(input.value, currency);
  if (amount !== null && amount >= PRICES.least && amount <= PRICES.most) return amount;
  input.setAttribute('aria-invalid', 'true');
  throw { message: `A price is between ${moneyText(PRICES.least, currency)} and ${moneyText(PRICES.most, currency)}, such as ${typedAmount(499, currency)}.` };
}
