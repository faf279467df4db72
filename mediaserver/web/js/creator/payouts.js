/** Payouts: where, how often and from what amount on one is paid, and what was. */
import { byId, element } from '../chat/dom.js';
import { errorText } from '../chat/words.js';
import { moneyText } from '../format.js';
import { Till } from '../gifts/till.js';
import { minorUnits, typedAmount } from '../money/amounts.js';
import { checked, openTab } from '../money/checkout.js';
import { dayText } from '../money/outcomes.js';
import { figure } from './revenue.js';

const ONBOARDING = {
  none: ['Tell the payment provider where you want to be paid. Until then your earnings wait here.', 'Set up where you are paid'],
  pending: ['The payment provider has not finished checking what you told it.', 'Go on at the payment provider'],
  restricted: ['The payment provider needs something more of you.', 'Go on at the payment provider'],
  active: ['You are set up to be paid.', ''],
};
const STATES = { pending: 'On its way', paid: 'Paid', failed: 'Failed, back in your earnings', reversed: 'Came back' };
const TRIGGERS = { schedule: 'by schedule', demand: 'as you asked', retry: 'tried again' };
const MONTHS = 24;
const PAGE = 20;
const EMPTY = 'Nothing was paid out yet.';

export class Payouts {
  #api;
  #till;
  #settings = null;
  #cursor = null;

  constructor(api) {
    this.#api = api;
    this.#till = new Till(api);
    byId('payout-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#attempt('minimum-note', () => this.#save());
    });
    byId('payout-now').addEventListener('click', () => void this.#attempt('minimum-note', () => this.#demand()));
    byId('onboarding-go').addEventListener('click', () => void this.#onboard());
    byId('payouts-more').addEventListener('click', () => void this.#attempt('payouts-note', () => this.#loadHistory(this.#cursor)));
    byId('statement').addEventListener('submit', (event) => event.preventDefault());
    byId('month').addEventListener('change', () => this.#chooseMonth());
    // Somebody is back, maybe from the payment provider.
    addEventListener('focus', () => void this.#lookAgain());
    this.#fillMonths();
  }

  /** Null until it is loaded. */
  get currency() {
    return this.#settings?.currency ?? null;
  }

  /** Throws ApiError. */
  async load() {
    this.#till.forget();
    await Promise.all([this.#loadSettings(), this.#loadBalance(), this.#loadHistory(null)]);
  }

  async #loadSettings() {
    this.#showSettings((await this.#api.call('GET', '/payouts/settings')).data);
  }

  #showSettings(settings) {
    this.#settings = settings;
    const { currency, least, minimum, nextAt, onboarding, problem, schedule } = settings;
    byId('schedule').value = schedule;
    byId('minimum-label').textContent = `From, in ${currency.toUpperCase()} (${typedAmount(least, currency)} or more)`;
    byId('minimum').value = typedAmount(minimum, currency);
    const [text, act] = ONBOARDING[onboarding ?? 'none'];
    byId('onboarding').dataset.state = onboarding ?? 'none';
    byId('onboarding-text').textContent = [text, problem && `It says: ${problem}`, nextAt && onboarding === 'active' && `The next payout is on ${dayText(nextAt)}.`].filter(Boolean).join(' ');
    byId('onboarding-go').hidden = act === '';
    byId('onboarding-go').textContent = act;
    byId('payout-now').disabled = onboarding !== 'active';
  }

  async #loadBalance() {
    const { data: wallet } = await this.#api.call('GET', '/wallet');
    const waiting = wallet.pendingEarnings > 0 ? [figure('On its way', moneyText(wallet.pendingEarnings, wallet.currency))] : [];
    byId('balance').replaceChildren(figure('To be paid out', moneyText(wallet.earnings, wallet.currency), 'is-main'), ...waiting);
  }

  async #loadHistory(cursor) {
    const more = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { data, meta } = await this.#api.call('GET', `/payouts?limit=${PAGE}${more}`);
    this.#cursor = meta.nextCursor ?? null;
    const rows = data.map(payoutRow);
    if (cursor === null) byId('payouts').replaceChildren(...rows);
    else byId('payouts').append(...rows);
    byId('payouts-more').hidden = this.#cursor === null;
    byId('payouts-note').textContent = byId('payouts').childElementCount === 0 ? EMPTY : '';
  }

  /** Does `work`, and says at `place` what it says, or why it was refused. */
  async #attempt(place, work) {
    byId(place).classList.remove('is-wrong');
    try {
      byId(place).textContent = (await work()) ?? byId(place).textContent;
    } catch (error) {
      byId(place).textContent = errorText(error);
      byId(place).classList.add('is-wrong');
    }
  }

  async #save() {
    const { currency, least } = this.#settings;
    const minimum = minorUnits(byId('minimum').value, currency);
    byId('minimum').setAttribute('aria-invalid', String(minimum === null || minimum < least));
    if (minimum === null || minimum < least) {
      byId('minimum').focus();
      throw { message: `An amount of ${moneyText(least, currency)} or more, such as ${typedAmount(least, currency)}.` };
    }
    const body = { schedule: byId('schedule').value, minimum, currency };
    this.#showSettings((await this.#api.call('PUT', '/payouts/settings', { body })).data);
    return 'Saved.';
  }

  async #demand() {
    const { amount, currency } = await this.#till.pay('/payouts', {});
    await Promise.all([this.#loadBalance(), this.#loadHistory(null)]);
    return `${moneyText(amount, currency)} are on their way.`;
  }

  async #onboard() {
    const tab = openTab();
    try {
      const { data } = await this.#api.call('POST', '/payouts/onboarding');
      const address = checked(data.url);
      tab.go(address);
      if (tab.isBlocked) location.assign(address);
    } catch (error) {
      tab.close();
      byId('onboarding-text').textContent = errorText(error);
    }
  }

  async #lookAgain() {
    const isOpen = this.#settings !== null && this.#settings.onboarding !== 'active';
    if (isOpen && !document.hidden && !byId('parts').hidden) await this.#loadSettings().catch(() => {});
  }

  #fillMonths() {
    const now = new Date();
    const months = Array.from({ length: MONTHS }, (_, back) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1)));
    const name = (month) => month.toLocaleDateString('en-GB', { month: 'long', year: 'numeric', timeZone: 'UTC' });
    byId('month').replaceChildren(...months.map((month) => new Option(name(month), month.toISOString().slice(0, 7))));
    this.#chooseMonth();
  }

  #chooseMonth() {
    const month = byId('month').value;
    byId('statement-link').href = `/api/v1/payouts/statements?month=${month}`;
    byId('statement-link').download = `statement-${month}.csv`;
  }
}

function payoutRow({ amount, createdAt, currency, problem, returned, state, trigger }) {
  const back = returned > 0 && returned < amount ? `${moneyText(returned, currency)} came back` : '';
  const about = [`${dayText(createdAt)}, ${TRIGGERS[trigger] ?? trigger}`, problem, back].filter(Boolean).join('. ');
  const words = element('div', { className: 'row-words' }, element('span', { textContent: STATES[state] ?? state }), element('span', { className: 'faint', textContent: about }));
  return element('li', { data: { state } }, words, element('b', { textContent: moneyText(amount, currency) }));
}
