/** The creator's page: who is signed in, and the parts about money. */
import { Account } from './chat/account.js';
import { Api } from './chat/api.js';
import { byId } from './chat/dom.js';
import { Sheet } from './chat/sheet.js';
import { SignIn } from './chat/sign_in.js';
import { errorText } from './chat/words.js';
import { Payouts } from './creator/payouts.js';
import { Plans } from './creator/plans.js';
import { Revenue } from './creator/revenue.js';

const FALLBACK_CURRENCY = 'usd';

const api = new Api();
const account = new Account(api);
const sheet = new Sheet('page-sheet');
const signIn = new SignIn(account, sheet);
const payouts = new Payouts(api);
const currency = () => payouts.currency ?? FALLBACK_CURRENCY;
const plans = new Plans(api, sheet, currency);
const revenue = new Revenue(api, currency);
/** What was begun for somebody who has left is not shown. */
let turn = 0;

/** `loading`, `signed-out`, `ready` or `problem`. */
function show(state, text = '') {
  byId('creator').dataset.state = state;
  byId('state').textContent = text;
  byId('welcome').hidden = state !== 'signed-out';
  byId('parts').hidden = state !== 'ready';
  byId('apply').hidden = state !== 'ready' || account.user.isCreator;
  byId('plans-panel').hidden = state === 'ready' && !account.user.isCreator;
  byId('problem').hidden = state !== 'problem';
}

async function load() {
  const mine = (turn += 1);
  byId('account').hidden = false;
  byId('account').textContent = account.user?.displayName ?? 'Sign in';
  if (account.user === null) {
    show('signed-out');
    return;
  }
  show('loading', 'Loading…');
  try {
    await payouts.load();
    if (account.user?.isCreator) await plans.load(account.user.id);
    if (mine !== turn) return;
    show('ready');
    await revenue.load();
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

function fail(error) {
  if (error.status === 401) {
    account.forget();
    return;
  }
  show('problem');
  byId('problem-text').textContent = errorText(error);
}

async function apply(event) {
  event.preventDefault();
  const note = byId('apply-note');
  try {
    await api.call('POST', '/creators/apply', { body: { text: byId('apply-text').value.trim() } });
    byId('apply-form').hidden = true;
    note.textContent = 'Thank you. Somebody of this server decides about it; you are told by a notification.';
  } catch (error) {
    note.textContent = errorText(error);
  }
}

async function begin() {
  show('loading', 'Loading…');
  byId('problem-text').textContent = '';
  await account.restore();
  if (account.user === null) await load();
}

account.addEventListener('change', () => void load());
byId('account').addEventListener('click', () => signIn.open());
byId('welcome-sign-in').addEventListener('click', () => signIn.open());
byId('problem-again').addEventListener('click', () => void (account.user === null ? begin() : load()));
byId('apply-form').addEventListener('submit', (event) => void apply(event));
void begin();
