/** What was earned, by steps of time, ready to be drawn. Pure. */

export const KINDS = ['subscriptions', 'gifts', 'tips'];
const DAY = 86_400_000;
const MOST_DAYS = { day: 31, week: 120 };

/** The step that makes a chart of so many days readable. */
export function stepFor(days) {
  if (days <= MOST_DAYS.day) return 'day';
  return days <= MOST_DAYS.week ? 'week' : 'month';
}

/** The first days of all steps from `from` to `to`, as the server names them: "2026-11-21". */
export function stepsBetween(from, to, step) {
  const dates = [];
  for (let at = beginOf(new Date(from), step); at < new Date(to); at = after(at, step)) dates.push(at.toISOString().slice(0, 10));
  return dates;
}

/** `{at, byKind, total, refunds}` for each step, also for those without earnings. */
export function series({ from, to, step, points }, currency) {
  const bars = new Map(stepsBetween(from, to, step).map((at) => [at, { at, byKind: {}, total: 0, refunds: 0 }]));
  for (const point of points) {
    const bar = bars.get(point.at);
    if (bar === undefined || point.currency !== currency) continue;
    bar.byKind[point.kind] = (bar.byKind[point.kind] ?? 0) + point.share;
    bar.total += point.share;
    bar.refunds += point.refunds;
  }
  return [...bars.values()];
}

/** The currency in which most was earned; `otherwise` when nothing was. */
export function mainCurrency(totals, otherwise) {
  return totals.reduce((best, one) => (best === null || one.share > best.share ? one : best), null)?.currency ?? otherwise;
}

/** A round number not below `most`: 1, 2 or 5 times a power of ten. */
export function roundUp(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= most);
}

function beginOf(moment, step) {
  const day = new Date(Math.floor(moment.getTime() / DAY) * DAY);
  if (step === 'week') return new Date(day.getTime() - ((day.getUTCDay() + 6) % 7) * DAY);
  if (step === 'month') return new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), 1));
  return day;
}

function after(at, step) {
  if (step === 'month') return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1));
  return new Date(at.getTime() + (step === 'week' ? 7 : 1) * DAY);
}
