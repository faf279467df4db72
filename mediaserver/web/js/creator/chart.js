/** Bars of what was earned, in SVG. Sizes are attributes: the pages allow no style of their own. */
import { moneyText } from '../format.js';
import { digitsOf } from '../money/amounts.js';
import { KINDS, roundUp } from './series.js';

const SVG = 'http://www.w3.org/2000/svg';
const SIZE = { height: 200, top: 10, bottom: 24, left: 58 };
const LINES = 4;
const GAP = 0.25;
/** So much room needs a date. */
const DATE_WIDTH = 64;

/** Draws `bars` of series.js as wide as `place` is. */
export function drawChart(place, bars, currency) {
  const width = Math.max(240, Math.round(place.clientWidth));
  const most = roundUp(Math.max(...bars.map(({ total }) => total), 0));
  const root = svg('svg', { viewBox: `0 0 ${width} ${SIZE.height}`, width, height: SIZE.height, 'aria-hidden': 'true' });
  for (let line = 0; line <= LINES; line += 1) root.append(...gridLine((most * line) / LINES, most, width, currency));
  const step = (width - SIZE.left) / bars.length;
  const every = Math.ceil(DATE_WIDTH / step);
  bars.forEach((bar, place) => {
    root.append(column(bar, place, step, most, currency));
    if (place % every === 0 && SIZE.left + place * step + DATE_WIDTH / 2 < width) root.append(date(bar.at, SIZE.left + place * step));
  });
  place.querySelector('svg')?.remove();
  place.append(root);
}

/** What the picture says, for those who do not see it. */
export function chartWords(bars, currency) {
  const best = bars.reduce((one, other) => (other.total > one.total ? other : one), bars[0]);
  const sum = bars.reduce((total, bar) => total + bar.total, 0);
  if (sum === 0) return 'Nothing was earned in this time.';
  return `Earned from ${shortDate(bars[0].at)} to today: ${moneyText(sum, currency)}. The most was ${moneyText(best.total, currency)}, from ${shortDate(best.at)} on.`;
}

function gridLine(amount, most, width, currency) {
  const y = height(amount, most);
  const line = svg('line', { x1: SIZE.left, x2: width, y1: y, y2: y, class: 'chart-line' });
  const label = svg('text', { x: SIZE.left - 8, y: y + 4, class: 'chart-amount' });
  label.textContent = compact(amount, currency);
  return [line, label];
}

function column(bar, place, step, most, currency) {
  const group = svg('g', {});
  const title = svg('title', {});
  title.textContent = `${shortDate(bar.at)}: ${moneyText(bar.total, currency)}`;
  group.append(title);
  let below = 0;
  for (const kind of KINDS.filter((name) => bar.byKind[name] > 0)) {
    const [y, end] = [height(below + bar.byKind[kind], most), height(below, most)];
    below += bar.byKind[kind];
    const x = SIZE.left + (place + GAP / 2) * step;
    group.append(svg('rect', { x: x.toFixed(1), y: y.toFixed(1), width: (step * (1 - GAP)).toFixed(1), height: Math.max(end - y, 1).toFixed(1), rx: 1.5, class: `chart-bar is-${kind}` }));
  }
  return group;
}

function date(at, x) {
  const label = svg('text', { x: x.toFixed(1), y: SIZE.height - 6, class: 'chart-date' });
  label.textContent = shortDate(at);
  return label;
}

function height(amount, most) {
  const room = SIZE.height - SIZE.top - SIZE.bottom;
  return SIZE.top + room * (1 - amount / most);
}

function shortDate(at) {
  return new Date(`${at}T00:00:00Z`).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
}

function compact(amount, currency) {
  const value = amount / 10 ** digitsOf(currency);
  const short = value < 1000 ? { trailingZeroDisplay: 'stripIfInteger' } : { notation: 'compact', maximumFractionDigits: 1 };
  return new Intl.NumberFormat('en', { style: 'currency', currency, ...short }).format(value);
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
