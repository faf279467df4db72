/**
 * The way to a checkout, which is a page of somebody else, and back.
 *
 * It opens in another tab. The page that one comes back to there (`/?purchase=done`) tells this one.
 */
import { element } from '../chat/dom.js';

const CHANNEL = 'mediaserver.checkout';
const WHATS = ['purchase', 'subscription'];
const OUTCOMES = ['done', 'cancelled'];

/** What an address says of a checkout: `{what, outcome}`, or null. */
export function returned(search) {
  const parameters = new URLSearchParams(search);
  const what = WHATS.find((name) => parameters.has(name));
  const outcome = parameters.get(what);
  return OUTCOMES.includes(outcome) ? { what, outcome } : null;
}

/** Only a page of the web is gone to. */
export function checked(address) {
  if (!/^https?:\/\//.test(address ?? '')) throw { code: 'payment_provider_refused' };
  return address;
}

/** `{go, close}` of a tab. It must be opened while the click is handled: browsers take one for an advertisement later on. */
export function openTab() {
  const tab = window.open('', '_blank');
  return {
    isBlocked: tab === null,
    go(address) {
      if (tab === null) return;
      tab.opener = null;
      tab.location.replace(address);
    },
    close() {
      tab?.close();
    },
  };
}

/** What is shown meanwhile: `words` say what comes of it. */
export function waitingFor(picture, words, address, isBlocked, ...more) {
  const where = isBlocked ? 'Your browser opened no tab. Follow the link to pay.' : 'Pay in the other tab.';
  const link = element('a', { className: 'button is-main gift-checkout', href: address, target: '_blank', rel: 'noopener', textContent: isBlocked ? 'To the checkout' : 'Open the checkout again' });
  const text = element('p', { className: 'gift-reason', textContent: `${where} ${words}` });
  return element('div', { className: 'gift-waiting' }, picture, text, link, ...more);
}

export function tellOthers(news) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(news);
  channel.close();
}

/** `hear` gets the outcome of each checkout for a `what`. */
export function listen(what, hear) {
  new BroadcastChannel(CHANNEL).addEventListener('message', ({ data }) => {
    if (data.what === what) hear(data.outcome);
  });
}
