/** What came of what was to be paid, in words. Pure. */
import { coinsText, moneyText } from '../format.js';

export const BROKEN_OFF = { purchase: 'You broke the purchase off. Nothing was paid.', subscription: 'You did not subscribe. Nothing was paid.' };
export const ON_THEIR_WAY = {
  purchase: 'Thank you. Your coins are on their way: they come as soon as the payment is confirmed.',
  subscription: 'Thank you. Your subscription begins as soon as the payment is confirmed.',
};
export const NOT_SIGNED_IN = 'Thank you. Sign in where you watch to see what you bought.';
const NO_USE = ['failed', 'expired'];
const GIVEN = ['paid', 'partially_refunded', 'refunded'];

/** The purchase that something was heard of last. */
export function latest(purchases) {
  const heard = ({ paidAt, createdAt }) => Date.parse(paidAt ?? createdAt);
  return purchases.reduce((best, one) => (best === null || heard(one) > heard(best) ? one : best), null);
}

/** The sentence for a purchase that is settled; null for one to be waited for. */
export function purchaseText(purchase, coins) {
  if (purchase === null) return null;
  if (GIVEN.includes(purchase.state)) return `Your ${coinsText(purchase.coins)} are here. You have ${coinsText(coins)} now.`;
  if (NO_USE.includes(purchase.state)) return 'The payment did not succeed. Nothing was bought.';
  if (purchase.state === 'review') return 'The payment is looked at by the people of this server. They will write to you.';
  return null;
}

export function subscriptionText(subscription) {
  if (subscription === null || !subscription.givesAccess) return null;
  return `You are a subscriber of ${subscription.creator.displayName} now: ${subscription.plan}, ${priceText(subscription.price, subscription.currency, subscription.interval)}.`;
}

/** 500, "usd", "month" -> "$5.00 a month". */
export function priceText(amount, currency, interval) {
  return `${moneyText(amount, currency)} a ${interval}`;
}

/** How a subscription stands, in a few words. */
export function standingText({ state, currentPeriodEnd, cancelAtPeriodEnd }) {
  const day = currentPeriodEnd === null ? null : dayText(currentPeriodEnd);
  if (state === 'incomplete') return 'Not paid yet';
  if (state === 'past_due') return 'Payment failed: look after your card';
  if (state === 'canceled' || cancelAtPeriodEnd) return day === null ? 'Canceled' : `Subscribed until ${day}`;
  return day === null ? 'Subscribed' : `Renews on ${day}`;
}

export function dayText(moment) {
  return new Date(moment).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
}
