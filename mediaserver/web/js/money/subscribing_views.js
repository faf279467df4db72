/** What the sheet shows of plans and of a subscription. */
import { button, element } from '../chat/dom.js';
import { moneyText } from '../format.js';
import { icon } from '../ui/icons.js';
import { priceText, standingText } from './outcomes.js';

const GIFTS = ['A badge beside your name in the chat', 'The chat and the rooms for subscribers'];

/** The plans as buttons; `current` is the subscription that is to be changed, if there is one. */
export function offers(plans, choose, current = null) {
  const gives = element('ul', { className: 'plan-gives' }, ...GIFTS.map((text) => element('li', {}, icon('star'), element('span', { textContent: text }))));
  const list = element('ul', { className: 'plan-list' }, ...plans.map((plan) => planItem(plan, choose, current)));
  const small = element('p', { className: 'plan-small', textContent: 'Renews by itself until you cancel, which you can at any time.' });
  return [gives, list, small];
}

function planItem(plan, choose, current) {
  const about = plan.description === '' ? null : element('p', { className: 'plan-about', textContent: plan.description });
  const prices = [['month', plan.monthlyPrice], ['year', plan.yearlyPrice]]
    .filter(([, price]) => price !== null)
    .map(([interval, price]) => priceButton(plan, interval, price, choose, current));
  return element('li', { className: 'plan' }, element('h4', { textContent: plan.name }), about, element('div', { className: 'plan-prices' }, ...prices));
}

function priceButton(plan, interval, price, choose, current) {
  const made = button('', () => void choose(plan, interval), 'plan-price');
  const saved = interval === 'year' ? savedText(plan) : '';
  made.append(element('b', { textContent: moneyText(price, plan.currency) }), element('span', { textContent: `a ${interval}${saved}` }));
  made.setAttribute('aria-label', `${plan.name}, ${priceText(price, plan.currency, interval)}${saved}`);
  made.disabled = current !== null && current.planId === plan.id && current.interval === interval;
  return made;
}

/** What twelve months cost more than a year. */
export function savedText({ monthlyPrice, yearlyPrice }) {
  if (monthlyPrice === null || yearlyPrice === null) return '';
  const percent = Math.floor(100 - (100 * yearlyPrice) / (12 * monthlyPrice));
  return percent > 0 ? `, ${percent} % less` : '';
}

/** `acts` is `{cancel, resume, other}`; `other` is null where there is no other plan. */
export function managing(subscription, { cancel, resume, other }) {
  const facts = element(
    'div',
    { className: 'plan-mine' },
    icon('star'),
    element('p', {}, element('b', { textContent: subscription.plan }), element('span', { textContent: priceText(subscription.price, subscription.currency, subscription.interval) })),
    element('p', { className: 'plan-standing', textContent: standingText(subscription) }),
  );
  const isEnding = subscription.cancelAtPeriodEnd;
  const first = isEnding ? button('Resume', resume, 'button is-main') : other === null ? null : button('Change the plan', other);
  return [facts, first, isEnding ? null : cancelling(cancel)].filter((part) => part !== null);
}

/** Asks once more: what is paid is not paid back. */
function cancelling(cancel) {
  const place = element('div', { className: 'plan-cancel' });
  const ask = button('Cancel the subscription', () => {
    const sure = button('Cancel at the end of what is paid', cancel, 'button is-danger');
    place.replaceChildren(element('p', { textContent: 'You stay a subscriber until then. Cancel?' }), sure, button('Keep it', () => place.replaceChildren(ask), 'chat-link'));
    sure.focus();
  }, 'chat-link');
  place.append(ask);
  return place;
}
