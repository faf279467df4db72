/** Subscribing to who streams here: the buttons, what is offered, the way to the checkout, and what one has. */
import { button, byId } from '../chat/dom.js';
import { Till } from '../gifts/till.js';
import { icon } from '../ui/icons.js';
import { askUntil } from './ask_until.js';
import { checked, listen, openTab, waitingFor } from './checkout.js';
import { BROKEN_OFF, ON_THEIR_WAY, standingText } from './outcomes.js';
import { managing, offers } from './subscribing_views.js';

const CHANGE_LOOKS = 6;
const SOON = 'It is done as soon as the payment provider confirms it. Look again in a moment.';

/** Fires 'change' when one has become a subscriber, or is none any more. */
export class Subscribing extends EventTarget {
  #api;
  #account;
  #sheet;
  #signIn;
  #till;
  #creator = null;
  #plans = [];
  #subscription = null;
  #waiting = null;

  constructor({ api, account, sheet, signIn }) {
    super();
    this.#api = api;
    this.#account = account;
    this.#sheet = sheet;
    this.#signIn = signIn;
    this.#till = new Till(api);
    for (const id of ['subscribe', 'screen-subscribe']) byId(id).addEventListener('click', () => void this.open());
    account.addEventListener('change', () => void this.#accountChanged());
    listen('subscription', (outcome) => this.#returned(outcome));
    addEventListener('focus', () => void this.#look());
  }

  get isSubscriber() {
    return this.#subscription?.givesAccess ?? false;
  }

  get isOffered() {
    const isOwn = this.#creator !== null && this.#account.user?.id === this.#creator.id;
    return !isOwn && (this.#plans.length > 0 || this.#subscription !== null);
  }

  /** `creator` is `{id, name}`. */
  async follow(creator) {
    if (creator.id === null || creator.id === this.#creator?.id) return;
    this.#creator = creator;
    await Promise.all([this.#loadPlans(), this.#loadSubscription()]);
  }

  async open(note = '') {
    if (this.#account.user === null) await this.#account.restore();
    if (this.#account.user === null) {
      this.#signIn.open(() => void this.open());
      return;
    }
    await this.#loadSubscription();
    if (!this.isOffered) return this.#sheet.close();
    if (this.#subscription === null || this.#subscription.state === 'incomplete') this.#openOffers();
    else this.#openManaging();
    if (note !== '') this.#sheet.say(note);
  }

  async #loadPlans() {
    const answer = await this.#api.call('GET', `/users/${this.#creator.id}/plans?limit=100`).catch(() => null);
    this.#plans = (answer?.data ?? []).filter(({ active }) => active);
    this.#show();
  }

  async #loadSubscription() {
    if (this.#creator === null) return;
    if (this.#account.user === null) this.#use(null);
    else {
      const answer = await this.#api.call('GET', '/subscriptions?limit=100').catch(() => null);
      if (answer !== null) this.#use(answer.data.find(({ creator, state }) => creator.id === this.#creator.id && state !== 'ended') ?? null);
    }
  }

  #use(subscription) {
    const was = this.isSubscriber;
    this.#subscription = subscription;
    this.#show();
    if (was !== this.isSubscriber) this.dispatchEvent(new Event('change'));
  }

  #show() {
    const isRunning = this.#subscription !== null && this.#subscription.state !== 'incomplete';
    byId('subscribe').hidden = !this.isOffered;
    byId('subscribe').classList.toggle('is-subscribed', this.isSubscriber);
    byId('subscribe-text').textContent = isRunning ? 'Subscribed' : 'Subscribe';
    byId('subscribe-note').textContent = isRunning && this.isOffered ? standingText(this.#subscription) : '';
    byId('screen-subscribe').hidden = !this.isOffered || this.isSubscriber;
  }

  #openOffers(current = null) {
    const choose = current === null ? (plan, interval) => this.#subscribe(plan, interval) : (plan, interval) => this.#change({ planId: plan.id, interval });
    this.#sheet.open(current === null ? `Subscribe to ${this.#creator.name}` : 'Another plan', ...offers(this.#plans, choose, current));
  }

  #openManaging() {
    const subscription = this.#subscription;
    const hasOthers = this.#plans.some((plan) => plan.id !== subscription.planId || (plan.monthlyPrice !== null && plan.yearlyPrice !== null));
    const acts = {
      cancel: () => void this.#act('DELETE', undefined, (one) => one.cancelAtPeriodEnd || one.state === 'ended'),
      resume: () => void this.#change({ resume: true }),
      other: hasOthers ? () => this.#openOffers(subscription) : null,
    };
    this.#sheet.open(`Your subscription to ${this.#creator.name}`, ...managing(subscription, acts));
  }

  async #subscribe(plan, interval) {
    const tab = openTab();
    const isDone = await this.#sheet.attempt(async () => {
      const { subscription, checkoutUrl } = await this.#till.pay('/subscriptions', { planId: plan.id, interval });
      const address = checked(checkoutUrl);
      tab.go(address);
      this.#wait(subscription.id, address, tab.isBlocked);
    });
    if (!isDone) tab.close();
  }

  #wait(id, address, isBlocked) {
    const words = 'Your subscription begins as soon as it is paid.';
    const root = waitingFor(icon('star'), words, address, isBlocked, button('Back to the plans', () => void this.open(), 'chat-link'));
    this.#waiting = { id, root, isLooking: false };
    this.#sheet.open('Waiting for the payment', root);
    void this.#look();
  }

  /** For as long as somebody waits, and the server may hear of the payment soon. */
  async #look() {
    const waiting = this.#waiting;
    if (!waiting?.root.isConnected || waiting.isLooking) return;
    waiting.isLooking = true;
    const paid = await askUntil(() => this.#paid(waiting)).catch(() => null);
    waiting.isLooking = false;
    if (paid && this.#waiting === waiting) {
      this.#waiting = null;
      this.#use(paid);
      if (waiting.root.isConnected) this.#openManaging();
    }
  }

  /** Null for not yet, false when nobody waits any more. */
  async #paid(waiting) {
    if (!waiting.root.isConnected || this.#waiting !== waiting) return false;
    const { data } = await this.#api.call('GET', `/subscriptions/${waiting.id}`);
    return data.givesAccess ? data : null;
  }

  #returned(outcome) {
    const waiting = this.#waiting;
    if (!waiting?.root.isConnected) return;
    if (outcome === 'cancelled') {
      this.#waiting = null;
      void this.open(BROKEN_OFF.subscription);
      return;
    }
    waiting.root.querySelector('.gift-reason').textContent = ON_THEIR_WAY.subscription;
    void this.#look();
  }

  #change(body) {
    const isDone = (one) => (body.resume ? !one.cancelAtPeriodEnd : one.planId === body.planId && one.interval === body.interval);
    return this.#act('PATCH', body, isDone);
  }

  /** The provider's events say what becomes of it: `isDone` tells whether they have. */
  async #act(method, body, isDone) {
    const path = `/subscriptions/${this.#subscription.id}`;
    let isSeen = true;
    const isAccepted = await this.#sheet.attempt(async () => {
      const { data } = await this.#api.call(method, path, { body });
      isSeen = isDone(data) || (await askUntil(() => this.#changed(path, isDone), { looks: CHANGE_LOOKS })) !== null;
    });
    if (isAccepted) await this.open(isSeen ? '' : SOON);
  }

  async #changed(path, isDone) {
    const { data } = await this.#api.call('GET', path);
    return isDone(data) ? data : null;
  }

  async #accountChanged() {
    this.#till.forget();
    this.#waiting = null;
    await this.#loadSubscription();
  }
}
