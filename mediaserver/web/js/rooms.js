/** The home page: who is live, refreshed by itself. */
import { durationText, videoText, viewersText } from './format.js';
import { showReturn } from './money/return_notice.js';

const REFRESH_SECONDS = 5;
const RTMP_DEFAULT_PORT = 1935;

const cards = document.getElementById('cards');
const template = document.getElementById('card');
/** By room id, so that a refresh keeps the focus where it was. */
const shown = new Map();

async function refresh() {
  try {
    const response = await fetch('/live.json', { cache: 'no-store', signal: AbortSignal.timeout(8000) });
    if (!response.ok) throw new Error(`answered ${response.status}`);
    show(await response.json());
    notify('');
  } catch {
    notify('The server cannot be reached. This page tries again by itself.');
  }
}

/** Refresh for as long as somebody looks. */
async function keepRefreshing() {
  if (!document.hidden) await refresh();
  setTimeout(keepRefreshing, REFRESH_SECONDS * 1000 * (0.8 + Math.random() * 0.4));
}

function show({ rooms, publish: { rtmpPort, application } }) {
  const port = rtmpPort === RTMP_DEFAULT_PORT ? '' : `:${rtmpPort}`;
  document.getElementById('rtmp-address').textContent = `rtmp://${location.hostname}${port}/${application}`;
  document.getElementById('empty').hidden = rooms.length > 0;
  document.getElementById('count').textContent = rooms.length > 0 ? String(rooms.length) : '';
  const ids = new Set(rooms.map((room) => room.roomId));
  for (const [id, card] of shown) {
    if (!ids.has(id)) {
      card.remove();
      shown.delete(id);
    }
  }
  rooms.forEach((room, place) => {
    const card = shown.get(room.roomId) ?? template.content.cloneNode(true).firstElementChild;
    shown.set(room.roomId, card);
    fill(card, room);
    if (cards.children[place] !== card) cards.insertBefore(card, cards.children[place] ?? null);
  });
}

function fill(card, room) {
  const link = card.querySelector('.card');
  const isInterrupted = room.state === 'interrupted';
  link.href = `/watch/${room.slug ?? room.roomId}`;
  link.classList.toggle('is-interrupted', isInterrupted);
  set(card, '.live-badge', isInterrupted ? 'Interrupted' : 'Live');
  set(card, '.card-since', room.startedAt ? durationText((Date.now() - Date.parse(room.startedAt)) / 1000) : '');
  set(card, '.card-title', room.title);
  set(card, '.card-owner', room.owner);
  set(card, '.card-facts', [viewersText(room.viewers), videoText(room.video)].filter(Boolean).join(' · '));
}

function set(card, selector, text) {
  const place = card.querySelector(selector);
  if (place.textContent !== text) place.textContent = text;
}

function notify(text) {
  const notice = document.getElementById('notice');
  notice.hidden = text === '';
  notice.textContent = text;
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refresh();
});
void keepRefreshing();
void showReturn();
