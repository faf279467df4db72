/** The home page after a checkout: whether what was paid for is there. */
import { Api } from '../chat/api.js';
import { askUntil } from './ask_until.js';
import { returned, tellOthers } from './checkout.js';
import { BROKEN_OFF, NOT_SIGNED_IN, ON_THEIR_WAY, latest, purchaseText, subscriptionText } from './outcomes.js';

const LOOKING = 'Thank you. Looking for the payment…';
const api = new Api();

const SETTLED = { purchase: settledPurchase, subscription: settledSubscription };

/** The sentence once the newest purchase is settled, else null. */
async function settledPurchase() {
  const { data } = await api.call('GET', '/purchases?limit=10');
  const purchase = latest(data);
  if (purchaseText(purchase, 0) === null) return null;
  const { data: wallet } = await api.call('GET', '/wallet');
  return purchaseText(purchase, wallet.coins);
}

async function settledSubscription() {
  const { data } = await api.call('GET', '/subscriptions?limit=1');
  return subscriptionText(data[0] ?? null);
}

function say(text, isWaiting = false) {
  const place = document.getElementById('returned');
  place.hidden = false;
  place.classList.toggle('is-waiting', isWaiting);
  document.getElementById('returned-text').textContent = text;
}

async function look({ what, outcome }) {
  if (outcome === 'cancelled') return BROKEN_OFF[what];
  say(LOOKING, true);
  try {
    return (await askUntil(SETTLED[what])) ?? ON_THEIR_WAY[what];
  } catch (error) {
    return error.status === 401 ? NOT_SIGNED_IN : ON_THEIR_WAY[what];
  }
}

/** Says it once: a page that is loaded again has nothing to tell. */
export async function showReturn() {
  const news = returned(location.search);
  if (news === null) return;
  tellOthers(news);
  document.getElementById('returned-close').addEventListener('click', () => (document.getElementById('returned').hidden = true));
  const text = await look(news);
  say(text);
  history.replaceState(null, '', location.pathname);
}
