/** The studio page: puts the account, the room, the sources, the broadcast and the stage together. */
import { Account } from './chat/account.js';
import { Api } from './chat/api.js';
import { byId } from './chat/dom.js';
import { Sheet } from './chat/sheet.js';
import { SignIn } from './chat/sign_in.js';
import { durationText } from './format.js';
import { readPreference, writePreference } from './preferences.js';
import { Broadcast, State } from './studio/broadcast.js';
import { adviceOf, showFigures } from './studio/figures_view.js';
import { LevelMeter } from './studio/level_meter.js';
import { Preview } from './studio/preview.js';
import { QUALITIES, limitsOf, qualityOf } from './studio/quality.js';
import { RoomChoice } from './studio/room_choice.js';
import { Sources } from './studio/sources.js';
import { Stage } from './studio/stage.js';
import { deviceErrorText, missingText, publishErrorText } from './studio/words.js';

const STATES = {
  [State.CONNECTING]: 'Connecting…',
  [State.LIVE]: 'You are live.',
  [State.LOST]: 'The connection was lost. Reconnecting…',
};

const ADVICE_MILLISECONDS = 12_000;

const api = new Api();
const account = new Account(api);
const sheet = new Sheet();
const signIn = new SignIn(account, sheet);
const stage = new Stage(api, sheet);
const choice = new RoomChoice(api);
const sources = new Sources(qualityOf(readPreference('studio-quality', '')));
const meter = new LevelMeter();
const broadcast = new Broadcast(credential);
let wakeLock = null;
let again = null;
let adviceSince = null;

/** A token for the chosen room. The stream key stays as it is: encoders may be using it. */
async function credential() {
  const { data } = await api.call('POST', `/rooms/${choice.room.id}/publish-token`);
  return { url: new URL(data.whipUrl).pathname, token: data.token };
}

function tracks() {
  return { video: sources.video, audio: sources.audio };
}

function limits() {
  return limitsOf(qualityOf(byId('quality').value), sources.isSharing);
}

function showProblem(text, retry = null) {
  byId('problem').hidden = text === '';
  byId('problem-text').textContent = text;
  byId('problem-again').hidden = retry === null;
  again = retry;
}

function showAccount() {
  showReady();
  const { user } = account;
  byId('account').hidden = false;
  byId('account').textContent = user?.displayName ?? 'Sign in';
  byId('welcome').hidden = user !== null;
}

/** What is still missing before somebody can go live. */
function hint() {
  if (account.user === null) return 'Sign in to go live.';
  if (choice.room === null) return 'Make a room to go live.';
  return hasMedia() ? 'Ready. You are not live yet.' : 'Turn on the camera or the microphone to go live.';
}

function hasMedia() {
  return sources.video !== null || sources.audio !== null;
}

function showReady() {
  const button = byId('go-live');
  button.textContent = broadcast.isOn ? 'End broadcast' : 'Go live';
  button.classList.toggle('is-live', broadcast.isOn);
  button.disabled = !broadcast.isOn && (choice.room === null || !hasMedia());
  if (!broadcast.isOn) byId('state').textContent = hint();
  choice.lock(broadcast.isOn);
}

function showBroadcast() {
  const { state, problem } = broadcast;
  byId('studio').dataset.state = state;
  byId('state').textContent = STATES[state] ?? hint();
  byId('live-badge').hidden = state !== State.LIVE;
  if (problem !== null) showProblem(problem.name === 'Error' ? problem.message : publishErrorText(problem), broadcast.isOn ? null : goLive);
  else if (state === State.LIVE) showProblem('');
  showFigures(broadcast.figures);
  showReady();
  void keepAwake(broadcast.isOn);
}

/** A connection that has just begun finds out how much it can carry: only what lasts is worth a word. */
function showAdvice() {
  const advice = adviceOf(broadcast.figures);
  adviceSince = advice === '' ? null : (adviceSince ?? Date.now());
  const isLasting = adviceSince !== null && Date.now() - adviceSince > ADVICE_MILLISECONDS;
  const text = isLasting ? `${STATES[State.LIVE]} ${advice}` : STATES[State.LIVE];
  if (broadcast.state === State.LIVE && byId('state').textContent !== text) byId('state').textContent = text;
}

/** A phone that goes to sleep would end the broadcast. */
async function keepAwake(isWanted) {
  if (!isWanted) {
    void wakeLock?.release();
    wakeLock = null;
  } else if (wakeLock === null && !document.hidden) {
    wakeLock = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null;
    wakeLock?.addEventListener('release', () => (wakeLock = null));
  }
}

function goLive() {
  showProblem('');
  broadcast.start(tracks(), limits());
}

function followSources() {
  meter.follow(sources.audio);
  showReady();
  if (broadcast.isOn) void broadcast.use(tracks(), limits());
}

async function followAccount() {
  showAccount();
  if (account.user === null) {
    broadcast.stop();
    choice.forget();
    return;
  }
  try {
    await choice.load();
  } catch (error) {
    showProblem(error.message, followAccount);
  }
}

async function isAllowed() {
  const states = await Promise.all(['camera', 'microphone'].map((name) => navigator.permissions?.query({ name }).catch(() => null)));
  return states.every((status) => status?.state === 'granted');
}

function fillQualities() {
  byId('quality').append(...QUALITIES.map(({ name, label }) => new Option(label, name)));
  byId('quality').value = qualityOf(readPreference('studio-quality', '')).name;
  byId('quality').addEventListener('change', ({ target }) => {
    writePreference('studio-quality', target.value);
    void sources.useQuality(qualityOf(target.value));
  });
}

function bind() {
  byId('account').addEventListener('click', () => signIn.open());
  byId('welcome-sign-in').addEventListener('click', () => signIn.open());
  byId('go-live').addEventListener('click', () => (broadcast.isOn ? broadcast.stop() : goLive()));
  byId('problem-again').addEventListener('click', () => {
    showProblem('');
    void again?.();
  });
  account.addEventListener('change', () => void followAccount());
  choice.addEventListener('change', () => {
    showReady();
    stage.follow(choice.room?.id ?? null);
  });
  sources.addEventListener('change', followSources);
  sources.addEventListener('problem', ({ detail: { error, what } }) => showProblem(deviceErrorText(error, what), () => sources.startBoth()));
  broadcast.addEventListener('change', showBroadcast);
  broadcast.addEventListener('figures', () => {
    showFigures(broadcast.figures);
    showAdvice();
  });
  document.addEventListener('visibilitychange', () => void keepAwake(broadcast.isOn));
  addEventListener('beforeunload', (event) => broadcast.isOn && event.preventDefault());
  setInterval(() => {
    byId('live-time').hidden = broadcast.startedAt === null;
    if (broadcast.startedAt !== null) byId('live-time').textContent = durationText((Date.now() - broadcast.startedAt) / 1000);
  }, 1000);
}

fillQualities();
const missing = missingText({ isSecureContext, mediaDevices: navigator.mediaDevices, hasWebRtc: 'RTCPeerConnection' in globalThis });
bind();
showFigures(null);
if (missing !== null) showProblem(missing);
else {
  new Preview(sources);
  // Who was asked before is not asked again, and nobody is asked before they want something.
  void isAllowed().then((isIt) => isIt && sources.startBoth());
}
void account.restore().then(showAccount);
