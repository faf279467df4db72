/** The watch page: puts the player, the room's status, the chat and what is shown of them together. */
import { Account } from './chat/account.js';
import { Api } from './chat/api.js';
import { ChatPanel } from './chat/panel.js';
import { Sheet } from './chat/sheet.js';
import { SignIn } from './chat/sign_in.js';
import { Door } from './money/door.js';
import { Subscribing } from './money/subscribing.js';
import { FallbackSource } from './player/fallback_source.js';
import { latencyOf } from './player/latency.js';
import { MseSource, canPlayMse } from './player/mse_source.js';
import { NativeHlsSource, canPlayNativeHls } from './player/native_hls_source.js';
import { Player } from './player/player.js';
import { Link, Reach, Screen, chooseScreen } from './player/screens.js';
import { wayToTake } from './player/ways.js';
import { WhepSource } from './player/whep_source.js';
import { readPreference, writePreference } from './preferences.js';
import { RoomStatus } from './room_status.js';
import { RoomToken } from './room_token.js';
import { About } from './ui/about.js';
import { Controls } from './ui/controls.js';
import { LastPicture } from './ui/last_picture.js';
import { ScreenView } from './ui/screen.js';
import { SeatView } from './ui/seat_view.js';
import { Statistics } from './ui/statistics.js';
import { canPlayWebRtc } from './whep.js';

const roomRef = location.pathname.split('/').filter(Boolean).at(-1);
const parameters = new URLSearchParams(location.search);
// A private room's token opens its media as well.
const token = new RoomToken(parameters.get('token'));
const stream = () => token.address(`/live/${roomRef}.mp4`);
const playlist = () => token.address(`/hls/${roomRef}/index.m3u8`);
const whep = () => ({ whep: `/whep/${roomRef}`, stream: stream(), token: token.value });
/** Whoever asks for one way gets that and no other. */
const FORCED = { whep: 'real-time', fmp4: 'low-latency', hls: 'hls' }[parameters.get('player')] ?? null;

const video = document.getElementById('video');
const status = new RoomStatus(() => token.address(`/live/${roomRef}.json`));
const player = new Player(video);
const controls = new Controls(player, video);
const about = new About();
const screen = new ScreenView();
const seat = new SeatView(token);
const api = new Api();
const account = new Account(api);
const sheet = new Sheet('page-sheet');
const signIn = new SignIn(account, sheet);
const subscribing = new Subscribing({ api, account, sheet, signIn });
const door = new Door({ api, account, signIn }, roomRef, token, subscribing);
const lastPicture = new LastPicture(video, document.getElementById('last-picture'));

const WAYS = [
  { name: 'real-time', label: 'Real time', isSupported: isRealTime, make: realTime },
  { name: 'low-latency', label: 'Low latency', isSupported: canPlayMse, make: () => new MseSource(video, stream()) },
  {
    name: 'hls',
    label: 'HLS',
    isSupported: canPlayNativeHls,
    make: () => new NativeHlsSource(video, playlist(), stream()),
  },
];
/** Those that this browser and this room have; the room is not known before its first answer. */
let ways = [];
/** The names of the way that is taken, and of the one that the viewer wishes; null for the best one. */
let current = null;
let wish = readPreference('playback', null);

let hasPlayed = false;
let chat = null;
/** What the player began with: a token is renewed, a source keeps its own. */
let playedToken = null;
let wasForbidden = false;

new Statistics(video, () => ({ source: player.source, room: status.room, latency: currentLatency() }));

/** The server says of each room whether it can be watched that way; its owner may change that at any time. */
function isRealTime() {
  const isOffered = FORCED === 'real-time' || status.room?.sources.some(({ type }) => type === 'whep');
  return isOffered && canPlayWebRtc();
}

function realTime() {
  const source = new WhepSource(video, whep(), () => status.room);
  if (FORCED !== null || !canPlayMse()) return source;
  const choice = new FallbackSource(source, new MseSource(video, stream()), () => {
    document.getElementById('quality').value = choice.reason === null ? 'real-time' : 'low-latency';
  });
  return choice;
}

function show() {
  hasPlayed ||= player.link === Link.PLAYING;
  const link = ways.length > 0 || status.room === null ? player.link : Link.UNSUPPORTED;
  const chosen = chooseScreen({ reach: status.reach, room: status.room?.state, link, hasPlayed });
  screen.show(chosen);
  controls.update();
  if (chosen === Screen.NOT_FOUND || chosen === Screen.FORBIDDEN) about.clear();
  showLatency();
}

function currentLatency() {
  const measured = player.link === Link.PLAYING ? (player.source.latency ?? null) : null;
  return measured ?? latencyOf(status, player.streamTime, performance.now() / 1000);
}

function showLatency() {
  const latency = currentLatency();
  const place = document.getElementById('latency');
  place.hidden = latency === null;
  if (latency !== null) document.getElementById('latency-text').textContent = latency.toFixed(1);
}

function choose(name) {
  const way = ways.find((other) => other.name === name) ?? ways[0];
  current = way.name;
  document.getElementById('quality').value = way.name;
  playedToken = token.value;
  player.use(way.make());
}

/** What can be chosen from. */
function followWays() {
  const found = WAYS.filter((way) => (FORCED === null || way.name === FORCED) && way.isSupported());
  if (found.map(({ name }) => name).join() === ways.map(({ name }) => name).join()) return;
  ways = found;
  const select = document.getElementById('quality');
  const { value } = select;
  select.replaceChildren(...ways.map(({ name, label }) => new Option(label, name)));
  if (ways.some(({ name }) => name === value)) select.value = value;
  select.hidden = ways.length < 2;
}

document.getElementById('quality').addEventListener('change', ({ target }) => {
  wish = target.value;
  writePreference('playback', wish);
  lastPicture.take();
  choose(target.value);
});

/** A room that is not there, or not for us, is not asked for its media again and again. */
function followReach() {
  const isClosed = status.reach === Reach.NOT_FOUND || status.reach === Reach.FORBIDDEN;
  if (isClosed) player.stop();
  else if (!player.isPaused && ways.length > 0) {
    if (player.isRunning) followWay();
    else choose(wish);
  }
}

/** A way that the room has no more is left, and one that it has again is taken from the next broadcast on. */
function followWay() {
  const name = wayToTake({
    names: ways.map((way) => way.name),
    current,
    wish,
    isFallenBack: (player.source.reason ?? null) !== null,
    isOn: status.room.state === 'live' || status.room.state === 'interrupted',
  });
  if (name === null) return;
  lastPicture.take();
  choose(name);
}

/** The chat is there as soon as the room is known to be, live or not. */
function followChat() {
  if (status.reach === Reach.OK) {
    chat ??= new ChatPanel(status.room.roomId, { api, account });
    chat.show(status.room);
  } else if (status.reach === Reach.NOT_FOUND || status.reach === Reach.FORBIDDEN) chat?.hide();
}

/** Somebody who may come in, or pay to, is told so at the door; inside, who streams here may be subscribed to. */
function followDoor() {
  const isForbidden = status.reach === Reach.FORBIDDEN;
  if (isForbidden && !wasForbidden) void door.knock();
  wasForbidden = isForbidden;
  if (status.reach === Reach.OK) void subscribing.follow({ id: status.room.ownerId, name: status.room.owner });
}

door.addEventListener('open', () => void status.refresh());
door.addEventListener('closed', ({ detail }) => screen.explain(...detail));

status.addEventListener('change', () => {
  about.show(status.room);
  if (status.room !== null) followWays();
  followReach();
  followChat();
  seat.show(status.reach === Reach.OK ? status.room : null);
  show();
  followDoor();
});
player.addEventListener('change', () => {
  if (player.link !== Link.PLAYING) lastPicture.take();
  if (player.isRunning && player.link !== Link.PLAYING && playedToken !== token.value) choose(current);
  // Whatever changed here has changed the room as well, if only by one viewer.
  if (player.link !== Link.CONNECTING && player.link !== Link.PAUSED) void status.refresh();
  show();
});
player.addEventListener('tick', show);

void status.refresh();
