/** What was earned: sums, the chart, the rooms. */
import { byId, element } from '../chat/dom.js';
import { errorText } from '../chat/words.js';
import { moneyText } from '../format.js';
import { chartWords, drawChart } from './chart.js';
import { KINDS, mainCurrency, series, stepFor } from './series.js';

const DAY = 86_400_000;
const NAMES = { subscriptions: 'Subscriptions', gifts: 'Gifts', tips: 'Tips', refunds: 'Taken back' };
const EMPTY = 'Nothing was earned in this time. Gifts, tips and subscriptions show here as soon as there are some.';

export class Revenue {
  #api;
  #currency;
  #shown = null;
  #turn = 0;

  /** `currency` gives the one to show where nothing was earned. */
  constructor(api, currency) {
    this.#api = api;
    this.#currency = currency;
    byId('period').addEventListener('change', () => void this.load());
    byId('legend').append(...KINDS.map((kind) => element('li', { className: `is-${kind}`, textContent: NAMES[kind] })));
    new ResizeObserver(() => this.#draw()).observe(byId('chart'));
  }

  async load() {
    const turn = (this.#turn += 1);
    const days = Number(byId('period').value);
    const from = new Date(Date.now() - (days - 1) * DAY).toISOString();
    const query = `?from=${encodeURIComponent(from)}&step=${stepFor(days)}`;
    byId('revenue-csv').href = `/api/v1/analytics/revenue.csv${query}`;
    byId('revenue-note').textContent = 'Loading…';
    try {
      const { data } = await this.#api.call('GET', `/analytics/revenue${query}`);
      if (turn === this.#turn) this.#show(data);
    } catch (error) {
      if (turn === this.#turn) byId('revenue-note').textContent = errorText(error);
    }
  }

  #show(revenue) {
    const currency = mainCurrency(revenue.totals, this.#currency());
    const bars = series(revenue, currency);
    this.#shown = { bars, currency };
    const totals = revenue.totals.filter((total) => total.share > 0 || total.refunds > 0);
    byId('revenue-totals').replaceChildren(...figures(totals, currency));
    byId('revenue-note').textContent = totals.length === 0 ? EMPTY : '';
    byId('chart-words').textContent = chartWords(bars, currency);
    byId('rooms').hidden = revenue.rooms.length === 0;
    byId('rooms-list').replaceChildren(...revenue.rooms.map(roomRow));
    this.#draw();
  }

  #draw() {
    if (this.#shown !== null && byId('chart').clientWidth > 0) drawChart(byId('chart'), this.#shown.bars, this.#shown.currency);
  }
}

/** The sum in the main currency first, then each kind; refunds are below zero. */
function figures(totals, currency) {
  const own = totals.filter((total) => total.currency === currency);
  const sum = own.reduce((all, { share, refunds }) => all + share - refunds, 0);
  const taken = own.reduce((all, { refunds }) => all + refunds, 0);
  const kinds = totals.filter(({ kind, share }) => KINDS.includes(kind) && share > 0);
  return [
    figure('In all', moneyText(sum, currency), 'is-main'),
    ...kinds.map(({ kind, share, currency: unit }) => figure(NAMES[kind], moneyText(share, unit))),
    ...(taken > 0 ? [figure(NAMES.refunds, `−${moneyText(taken, currency)}`)] : []),
  ];
}

export function figure(name, value, className = '') {
  return element('div', { className }, element('dt', { textContent: name }), element('dd', { textContent: value }));
}

function roomRow({ title, share, currency, count }) {
  const times = `${count.toLocaleString('en')} ${count === 1 ? 'gift or tip' : 'gifts and tips'}`;
  return element('li', {}, element('span', { className: 'row-name', textContent: title ?? 'A room that is no more' }), element('span', { className: 'faint', textContent: times }), element('b', { textContent: moneyText(share, currency) }));
}
