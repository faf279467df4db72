/** The watch page: puts the player, the room's status, the chat and what is shown of them together. */
import { ChatPanel } from './chat/panel.js';
import { latencyOf } from './player/latency.js';
import { MseSource, canPlayMse } from './player/mse_source.js';
import { NativeHlsSource, canPlayNativeHls } from './player/native_hls_source.js';
import { Player } from './player/player.js';
import { Link, Reach, Screen, chooseScreen } from './player/screens.js';
import { readPreference, writePreference } from './preferences.js';
import { RoomStatus } from './room_status.js';
import { About } from './ui/about.js';
import { Controls } from './ui/controls.js';
import { LastPicture } from './ui/last_picture.js';
import { ScreenView } from './ui/screen.js';

const roomRef = location.pathname.split('/').filter(Boolean).at(-1);
// A private room's token opens its media as well.
const token = new URLSearchParams(location.search).get('token');
const address = (path) => path + (token ? `?token=${encodeURIComponent(token)}` : '');
const stream = address(`/live/${roomRef}.mp4`);
const playlist = address(`/hls/${roomRef}/index.m3u8`);

const video = document.getElementById('video');
const status = new RoomStatus(address(`/live/${roomRef}.json`));
const player = new Player(video);
const controls = new Controls(player, video);
const about = new About();
const screen = new ScreenView();
const lastPicture = new LastPicture(video, document.getElementById('last-picture'));

const WAYS = [
  { name: 'low-latency', label: 'Low latency', isSupported: canPlayMse, make: () => new MseSource(video, stream) },
  {
    name: 'hls',
    label: 'HLS',
    isSupported: canPlayNativeHls,
    make: () => new NativeHlsSource(video, playlist, stream),
  },
].filter((way) => way.isSupported());

let hasPlayed = false;
let chat = null;

function show() {
  hasPlayed ||= player.link === Link.PLAYING;
  const link = WAYS.length > 0 ? player.link : Link.UNSUPPORTED;
  const chosen = chooseScreen({ reach: status.reach, room: status.room?.state, link, hasPlayed });
  screen.show(chosen);
  controls.update();
  if (chosen === Screen.NOT_FOUND || chosen === Screen.FORBIDDEN) about.clear();
  showLatency();
}

function showLatency() {
  const latency = latencyOf(status, player.streamTime, performance.now() / 1000);
  const place = document.getElementById('latency');
  place.hidden = latency === null;
  if (latency !== null) document.getElementById('latency-text').textContent = latency.toFixed(1);
}

function choose(name) {
  const way = WAYS.find((other) => other.name === name) ?? WAYS[0];
  document.getElementById('quality').value = way.name;
  player.use(way.make());
}

function fillChoices() {
  const select = document.getElementById('quality');
  select.append(...WAYS.map(({ name, label }) => new Option(label, name)));
  select.hidden = WAYS.length < 2;
  select.addEventListener('change', () => {
    writePreference('playback', select.value);
    lastPicture.take();
    choose(select.value);
  });
}

/** A room that is not there, or not for us, is not asked for its media again and again. */
function followReach() {
  const isClosed = status.reach === Reach.NOT_FOUND || status.reach === Reach.FORBIDDEN;
  if (isClosed) player.stop();
  else if (!player.isRunning && !player.isPaused && WAYS.length > 0) choose(readPreference('playback', WAYS[0].name));
}

/** The chat is there as soon as the room is known to be, live or not. */
function followChat() {
  if (status.reach === Reach.OK) {
    chat ??= new ChatPanel(status.room.roomId);
    chat.show();
  } else if (status.reach === Reach.NOT_FOUND || status.reach === Reach.FORBIDDEN) chat?.hide();
}

status.addEventListener('change', () => {
  about.show(status.room);
  followReach();
  followChat();
  show();
});
player.addEventListener('change', () => {
  if (player.link !== Link.PLAYING) lastPicture.take();
  // Whatever changed here has changed the room as well, if only by one viewer.
  if (player.link !== Link.CONNECTING && player.link !== Link.PAUSED) void status.refresh();
  show();
});
player.addEventListener('tick', show);

fillChoices();
void status.refresh();
