/**
 * Gifts over the video: who gave what, and its picture flying by.
 *
 * Everything moves by transform and opacity only, which the compositor does without the page; elements are made
 * when a gift comes and removed when they have ended, and there is a bound for both kinds. Nothing is shown while
 * nobody looks, or to people who want no motion.
 */
import { byId, element } from '../chat/dom.js';
import { Acts } from './acts.js';
import { pictureElement } from './catalogue.js';
import { particles } from './particles.js';

const MOST_BANNERS = { wide: 3, narrow: 2 };
const MOST_WAITING = 20;
const MOST_PARTICLES = 40;
const MOST_IN_A_FRAME = 50;
const ENTER_MILLISECONDS = 300;
const STAY_MILLISECONDS = { gift: 4000, tip: 6500 };
const COME_AND_GO = [
  { opacity: 0, transform: 'translateX(-24px)', offset: 0, easing: 'ease-out' },
  { opacity: 1, transform: 'none', offset: 0.07 },
  { opacity: 1, transform: 'none', offset: 0.92, easing: 'ease-in' },
  { opacity: 0, transform: 'translateY(-12px)', offset: 1 },
];
const POP = [{ transform: 'scale(1.7)' }, { transform: 'none' }];

export class Scene {
  #stage = byId('gift-stage');
  #banners = byId('gift-banners');
  #particles = byId('gift-particles');
  #stillness = matchMedia('(prefers-reduced-motion: reduce)');
  #acts = new Acts(MOST_BANNERS[matchMedia('(max-width: 700px)').matches ? 'narrow' : 'wide'], MOST_WAITING);
  #shown = new Map();
  #coming = new Map();
  #frame = 0;

  constructor() {
    document.addEventListener('visibilitychange', () => document.hidden && this.clear());
    this.#stillness.addEventListener('change', () => this.clear());
  }

  /** `act` is `{key, kind: 'gift' | 'tip', who, words, picture, count, coins, animation}`. */
  play(act) {
    if (document.hidden || this.#stillness.matches) return;
    if (this.#coming.size < MOST_IN_A_FRAME) this.#coming.set(act.key, act);
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  clear() {
    this.#coming.clear();
    this.#acts.clear();
    for (const { animation } of this.#shown.values()) animation.cancel();
    this.#shown.clear();
    this.#banners.replaceChildren();
    this.#particles.replaceChildren();
  }

  #show() {
    this.#frame = 0;
    for (const act of this.#coming.values()) {
      const how = this.#acts.add(act);
      if (how === 'start') this.#start(act);
      else if (how === 'update') this.#update(act);
    }
    this.#coming.clear();
  }

  #start(act) {
    const banner = buildBanner(act);
    this.#banners.append(banner);
    const animation = banner.animate(COME_AND_GO, { duration: STAY_MILLISECONDS[act.kind], fill: 'both' });
    this.#shown.set(act.key, { banner, animation });
    animation.addEventListener('finish', () => this.#end(act.key));
    this.#fly(act);
  }

  /** Another of the same: it counts up where it is, and stays longer. */
  #update(act) {
    const { banner, animation } = this.#shown.get(act.key);
    if (animation.currentTime > ENTER_MILLISECONDS) animation.currentTime = ENTER_MILLISECONDS;
    const count = banner.querySelector('.gift-banner-count');
    count.textContent = countText(act.count);
    count.animate(POP, { duration: 250, easing: 'ease-out' });
    this.#fly(act);
  }

  #end(key) {
    this.#shown.get(key)?.banner.remove();
    this.#shown.delete(key);
    const next = this.#acts.end(key);
    if (next !== null) this.#start(next);
  }

  #fly({ animation, picture }) {
    const room = MOST_PARTICLES - this.#particles.childElementCount;
    if (room <= 0) return;
    for (const { size, keyframes, timing } of particles(animation).slice(0, room)) {
      const flying = pictureElement(picture, `gift-particle is-${size}`);
      this.#particles.append(flying);
      flying.animate(keyframes, { fill: 'both', ...timing }).addEventListener('finish', () => flying.remove());
    }
  }
}

function buildBanner({ kind, who, words, picture, count }) {
  return element(
    'div',
    { className: `gift-banner is-${kind}` },
    pictureElement(picture, 'gift-banner-picture'),
    element('p', {}, element('b', { textContent: who }), element('span', { textContent: words })),
    element('b', { className: 'gift-banner-count', textContent: countText(count) }),
  );
}

function countText(count) {
  return count > 1 ? `×${count.toLocaleString('en')}` : '';
}
