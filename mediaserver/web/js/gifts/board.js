/** Who gave most: today, this week, of all time; and what the room got in all. */
import { byId, element } from '../chat/dom.js';
import { coinsText } from '../format.js';
import { icon } from '../ui/icons.js';

const PERIODS = ['day', 'week', 'all'];
const LEADERS = 5;
/** Shorter after a while without gifts, longer while they rain: one address may ask the server so often only. */
const PAUSE_SECONDS = { least: 5, most: 60 };
/** Not everybody who watches asks at the same moment. */
const SPREAD = 0.5;
const EMPTY = { day: 'Nobody has given anything today.', week: 'Nobody has given anything this week.', all: 'Nobody has given anything yet.' };

export class Board {
  #api;
  #path;
  #period = 'day';
  #isInSight = false;
  #isStale = false;
  #timer = 0;
  #pause = PAUSE_SECONDS.least;

  constructor(api, roomId) {
    this.#api = api;
    this.#path = `/rooms/${roomId}/leaderboard?limit=${LEADERS}`;
    for (const period of PERIODS) this.#tab(period).addEventListener('click', () => this.#choose(period));
    byId('board-tabs').addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('visibilitychange', () => this.#refreshIfStale());
    const sight = new IntersectionObserver((entries) => {
      this.#isInSight = entries.at(-1).isIntersecting;
      this.#refreshIfStale();
    });
    sight.observe(byId('board'));
  }

  /** Ask now, or soon where it was asked for before: when a server comes back, all who watch do. */
  begin() {
    if (byId('board').hidden) void this.#refresh();
    else this.#isStale = true;
    this.#refreshIfStale();
  }

  /** Something was given; `roomCoins` is what the room has now. */
  given(roomCoins) {
    byId('board-total').textContent = totalText(roomCoins);
    this.#isStale = true;
    this.#refreshIfStale();
  }

  async #refresh() {
    this.#isStale = false;
    this.#timer ||= setTimeout(() => this.#rested(), this.#pause * (1 + Math.random() * SPREAD) * 1000);
    const period = this.#period;
    const answer = await this.#api.call('GET', `${this.#path}&period=${period}`).catch(() => null);
    if (answer !== null && period === this.#period) this.#show(answer.data);
  }

  #rested() {
    this.#timer = 0;
    this.#pause = this.#isStale ? Math.min(2 * this.#pause, PAUSE_SECONDS.most) : PAUSE_SECONDS.least;
    this.#refreshIfStale();
  }

  #refreshIfStale() {
    if (this.#isStale && this.#timer === 0 && this.#isInSight && !document.hidden) void this.#refresh();
  }

  #show({ leaders, totalCoins }) {
    byId('board').hidden = false;
    byId('board-total').textContent = totalText(totalCoins);
    byId('board-empty').textContent = leaders.length === 0 ? EMPTY[this.#period] : '';
    const most = leaders[0]?.coins ?? 1;
    byId('board-list').replaceChildren(...leaders.map((leader, place) => row(leader, place + 1, most)));
  }

  #choose(period) {
    this.#period = period;
    for (const other of PERIODS) {
      this.#tab(other).setAttribute('aria-selected', String(other === period));
      this.#tab(other).tabIndex = other === period ? 0 : -1;
    }
    byId('board-panel').setAttribute('aria-labelledby', `board-${period}`);
    void this.#refresh();
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: PERIODS.length - 1 }[event.key];
    if (step === undefined) return;
    const next = PERIODS[(PERIODS.indexOf(this.#period) + step) % PERIODS.length];
    this.#choose(next);
    this.#tab(next).focus();
    event.preventDefault();
  }

  #tab(period) {
    return byId(`board-${period}`);
  }
}

function totalText(coins) {
  return coins > 0 ? `${coinsText(coins)} in all` : '';
}

function row({ user, coins }, place, most) {
  const bar = element('span', { className: 'board-bar', attributes: { 'aria-hidden': 'true' } });
  bar.style.setProperty('--share', String(coins / most));
  return element(
    'li',
    { className: `board-row is-${place}` },
    bar,
    element('span', { className: 'board-place', textContent: place, attributes: { 'aria-hidden': 'true' } }),
    face(user),
    element('span', { className: 'board-name', textContent: user.displayName, title: `@${user.username}` }),
    element('span', { className: 'board-coins' }, icon('coin'), coins.toLocaleString('en'), element('span', { className: 'hidden-text', textContent: ' coins' })),
  );
}

function face({ avatar, displayName }) {
  const initial = [...displayName][0]?.toUpperCase() ?? '?';
  const made = element('span', { className: 'board-face', textContent: initial, attributes: { 'aria-hidden': 'true' } });
  if (avatar) made.replaceChildren(element('img', { src: avatar, alt: '', decoding: 'async', loading: 'lazy' }));
  return made;
}
