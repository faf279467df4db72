/** The chat beside the player: puts the link to the room and what is shown of it together. */
import { viewersText } from '../format.js';
import { Gifts } from '../gifts/gifts.js';
import { GiftLines } from '../gifts/lines.js';
import { Composer } from './composer.js';
import { byId } from './dom.js';
import { ChatLog, eventItem } from './log.js';
import { Moderation } from './moderation.js';
import { Reactions } from './reactions.js';
import { History } from './history.js';
import { RoomLink, State } from './room_link.js';
import { Sheet } from './sheet.js';
import { SignIn } from './sign_in.js';
import { Typing } from './typing.js';
import { errorText, eventLine, modesText } from './words.js';

const STATES = { [State.CONNECTING]: 'Connecting…', [State.LOST]: 'Reconnecting…', [State.OPEN]: '', [State.STOPPED]: 'Not connected' };
const MODERATING = ['owner', 'staff', 'moderator'];

export class ChatPanel {
  #api;
  #account;
  #sheet = new Sheet();
  #signIn;
  #you = { userId: null, username: null, role: 'anonymous' };
  #settings = null;
  #gifts;
  #giftLines;
  #pinned = null;
  #link;
  #log;
  #history;
  #composer;
  #moderation;
  #typing = new Typing();
  #reactions = new Reactions((emoji) => this.#react(emoji));

  /** `api` and `account` are the page's. */
  constructor(roomId, { api, account }) {
    this.#api = api;
    this.#account = account;
    this.#signIn = new SignIn(account, this.#sheet);
    this.#link = new RoomLink(roomId, () => this.#account.ticket());
    this.#history = new History(this.#api, roomId);
    this.#log = new ChatLog((before) => this.#history.before(before));
    this.#moderation = new Moderation(this.#api, this.#sheet, roomId);
    this.#composer = new Composer(this.#link, () => (this.#canModerate ? 0 : (this.#settings?.slowModeSec ?? 0)));
    this.#gifts = new Gifts({ api: this.#api, account: this.#account, sheet: this.#sheet, signIn: this.#signIn }, roomId);
    this.#giftLines = new GiftLines(this.#log, (slug) => this.#gifts.find(slug));
    this.#bindLink();
    this.#bindButtons();
    this.#account.addEventListener('change', () => this.#accountChanged());
  }

  /** `room` is its status, as the server gives it. */
  show(room) {
    byId('side-panel').hidden = false;
    this.#gifts.show({ isLive: room.state === 'live' || room.state === 'interrupted' });
    this.#link.start();
    this.#showState();
  }

  hide() {
    byId('side-panel').hidden = true;
    this.#link.stop();
  }

  get #canModerate() {
    return MODERATING.includes(this.#you.role);
  }

  #bindLink() {
    this.#link.addEventListener('state', () => this.#showState());
    this.#link.addEventListener('joined', ({ detail }) => this.#joined(detail));
    this.#link.addEventListener('frame', ({ detail }) => this.#frame(detail));
    this.#link.addEventListener('signed-out', () => this.#account.forget());
  }

  #bindButtons() {
    byId('chat-account').addEventListener('click', () => this.#signIn.open());
    byId('chat-invite').addEventListener('click', () => this.#signIn.open());
    byId('chat-moderate').addEventListener('click', () => this.#moderation.openRoom());
    byId('chat-unpin').addEventListener('click', () => this.#unpin());
    this.#log.addEventListener('reply', ({ detail }) => this.#reply(detail.message));
    this.#log.addEventListener('menu', ({ detail }) => this.#openMenu(detail.message));
  }

  #joined(body) {
    this.#you = body.you;
    this.#log.me = body.you.userId;
    if (!body.recovered) {
      this.#history.forget();
      this.#log.reset(body.history.map(({ d }) => ({ kind: 'message', ...d })));
    }
    for (const frame of body.missed) this.#frame(frame, true);
    this.#settings = body.settings;
    this.#showPinned(body.pinnedMessage);
    this.#showViewers(body.viewerCount);
    this.#showWho();
    this.#gifts.show({ isOwn: body.you.role === 'owner', isSignedIn: body.you.userId !== null });
    this.#gifts.showBoard();
    // The cookie that came along with the handshake has told who this is; the page needs the token to it.
    if (body.you.userId !== null && this.#account.user === null) void this.#account.restore();
  }

  /** Where only the cookie was known, the connection is as it should be already. */
  #accountChanged() {
    const isKnown = (this.#account.user?.id ?? null) === this.#you.userId;
    if (!isKnown) this.#link.restart();
    this.#showWho();
  }

  #frame(frame, isMissed = false) {
    const { t, d } = frame;
    const handler = this.#handlers[t];
    handler?.(d);
    if (d.viewerCount !== undefined) this.#showViewers(d.viewerCount);
    this.#gifts.take(frame, isMissed);
    const line = eventLine(frame);
    if (line?.tone === 'gift') this.#giftLines.add(frame);
    else if (line !== null) this.#log.add(eventItem(line.text, line.tone));
  }

  #handlers = {
    'new-message': (d) => this.#newMessage(d),
    'message-deleted': (d) => this.#deleted(d.messageId),
    'chat-cleared': () => this.#log.clear(),
    'message-pinned': (d) => void this.#pinnedById(d.messageId),
    'message-unpinned': () => this.#showPinned(null),
    'settings-changed': (d) => this.#settingsChanged(d.settings),
    'user-timed-out': (d) => this.#ifMe(d, () => this.#shutOut(errorText({ code: 'timed_out' }), d)),
    'user-banned': (d) => this.#ifMe(d, () => this.#shutOut(errorText({ code: 'banned' }), null)),
    'user-unbanned': (d) => this.#ifMe(d, () => this.#letIn()),
    'moderator-added': (d) => this.#ifMe(d, () => this.#become('moderator')),
    'moderator-removed': (d) => this.#ifMe(d, () => this.#become('member')),
    'reaction-burst': (d) => this.#reactions.burst(d.reactions),
    typing: (d) => this.#typing.are(d.users.filter(({ userId }) => userId !== this.#you.userId)),
    'message-held': (d) => this.#held(d),
    error: (d) => this.#composer.say(errorText(d)),
  };

  #newMessage(message) {
    this.#typing.isDone(message.userId);
    if (message.userId === this.#you.userId) this.#composer.arrived(message.message);
    this.#log.add({ kind: 'message', ...message });
  }

  #deleted(messageId) {
    this.#log.remove((item) => item.id === messageId);
    if (this.#pinned?.id === messageId) this.#showPinned(null);
  }

  #settingsChanged(settings) {
    this.#settings = settings;
    if (settings.slowModeSec === 0) this.#composer.wait(0);
    this.#showWho();
  }

  #ifMe({ userId }, act) {
    if (userId === this.#you.userId) act();
  }

  #shutOut(text, timeout) {
    this.#composer.say(text);
    if (timeout) this.#composer.wait(Math.max(0, (Date.parse(timeout.until) - Date.now()) / 1000));
  }

  #letIn() {
    this.#composer.say('You may write again.');
    this.#composer.wait(0);
  }

  #become(role) {
    if (this.#you.role === 'owner' || this.#you.role === 'staff') return;
    this.#you = { ...this.#you, role };
    this.#showWho();
  }

  #held(held) {
    const isMine = held.userId === undefined || held.userId === this.#you.userId;
    if (isMine) {
      this.#composer.say(held.status === 'held' ? 'Your message waits for a moderator.' : 'A moderator did not let your message through.');
    } else if (held.status === 'held') {
      const text = `Waits (${held.reason}): ${held.username}: ${held.message}`;
      this.#log.add(eventItem(text, 'held', this.#moderation.decisions(held.messageId)));
    }
  }

  #react(emoji) {
    if (this.#you.userId === null) this.#signIn.open();
    else this.#link.tell('react', { reaction: emoji });
  }

  #reply(message) {
    if (this.#you.userId === null) this.#signIn.open();
    else this.#composer.reply(message);
  }

  #openMenu(message) {
    if (this.#you.userId === null) return this.#signIn.open();
    this.#moderation.openMenu(message, {
      canModerate: this.#canModerate,
      isOwn: message.userId === this.#you.userId,
      reply: () => this.#composer.reply(message),
      mention: () => this.#composer.mention(message.username),
    });
  }

  async #pinnedById(messageId) {
    const message = this.#log.find(messageId) ?? (await this.#history.find(messageId));
    this.#showPinned(message ?? null);
  }

  #unpin() {
    this.#moderation.unpin().catch((error) => this.#composer.say(errorText(error)));
  }

  #showPinned(message) {
    this.#pinned = message;
    byId('chat-pinned').hidden = message === null;
    byId('chat-pinned-name').textContent = message?.displayName ?? '';
    byId('chat-pinned-text').textContent = message?.message ?? '';
  }

  #showViewers(count) {
    byId('chat-viewers').textContent = viewersText(count);
  }

  #showState() {
    const { state, refusal } = this.#link;
    byId('side-panel').dataset.state = state;
    byId('chat-state').textContent = state === State.REFUSED ? errorText(refusal) : STATES[state];
  }

  #showWho() {
    const isSignedIn = this.#you.userId !== null;
    byId('chat-account').textContent = isSignedIn ? this.#you.username : 'Sign in';
    byId('chat-form').hidden = !isSignedIn;
    byId('chat-invite').hidden = isSignedIn;
    byId('chat-moderate').hidden = !this.#canModerate;
    byId('chat-unpin').hidden = !this.#canModerate;
    const modes = this.#settings === null ? '' : modesText(this.#settings);
    byId('chat-modes').textContent = modes;
    byId('chat-modes').hidden = modes === '';
  }
}
