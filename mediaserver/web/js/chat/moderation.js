/** What moderators do, and the menu of a message that everybody has. */
import { button, check, element, field } from './dom.js';
import { errorText, waitText } from './words.js';

const TIMEOUTS = [[60, '1 min'], [600, '10 min'], [3600, '1 hour']];
const SLOW = [0, 3, 5, 10, 30, 60, 120];
const FOLLOWED = [['', 'Everybody'], [0, 'Followers'], [600, 'Followers of 10 minutes'], [3600, 'Followers of 1 hour'], [86_400, 'Followers of 1 day'], [604_800, 'Followers of 1 week'], [2_592_000, 'Followers of 30 days']];
const LINKS = [['allow', 'Allowed'], ['hold', 'Wait for a moderator'], ['refuse', 'Refused']];

export class Moderation {
  #api;
  #sheet;
  #path;

  constructor(api, sheet, roomId) {
    this.#api = api;
    this.#sheet = sheet;
    this.#path = `/rooms/${encodeURIComponent(roomId)}`;
  }

  /** `reply` and `mention` are what everybody may do. */
  openMenu(message, { canModerate, isOwn, reply, mention }) {
    const excerpt = element('p', { className: 'chat-excerpt', textContent: message.message });
    const items = [this.#item('Reply', reply), this.#item(`Mention @${message.username}`, mention)];
    if (canModerate) items.push(this.#deed('Pin', 'PUT', '/pinned-message', { messageId: message.id }));
    if (canModerate || isOwn) items.push(this.#deed('Delete message', 'DELETE', `/messages/${message.id}`, undefined, 'is-danger'));
    const menu = element('div', { className: 'chat-menu', attributes: { role: 'group' } }, ...items);
    const content = [excerpt, menu];
    if (canModerate && !isOwn) content.push(this.#banMenu(message));
    this.#sheet.open(message.displayName, ...content);
  }

  #banMenu({ userId, username }) {
    const timeouts = TIMEOUTS.map(([durationSec, label]) => this.#deed(label, 'POST', '/bans', { userId, durationSec }));
    return element(
      'div',
      { className: 'chat-menu' },
      element('p', { className: 'chat-menu-title', textContent: `Time @${username} out for` }),
      element('div', { className: 'chat-choices' }, ...timeouts),
      this.#deed('Ban', 'POST', '/bans', { userId }, 'is-danger'),
      this.#deed('Lift ban or timeout', 'DELETE', `/bans/${userId}`),
    );
  }

  #item(label, act, more = '') {
    const chosen = () => {
      this.#sheet.close();
      act();
    };
    return button(label, chosen, `chat-menu-item ${more}`);
  }

  #deed(label, method, path, body, more = '') {
    const act = async () => {
      if (await this.#sheet.attempt(() => this.#call(method, path, { body }))) this.#sheet.close();
    };
    return button(label, act, `chat-menu-item ${more}`);
  }

  #call(method, path, options) {
    return this.#api.call(method, this.#path + path, options);
  }

  unpin() {
    return this.#call('DELETE', '/pinned-message');
  }

  /** Buttons that decide over a message that waits. */
  decisions(messageId, done = () => {}) {
    const decide = (label, how) => () => {
      const made = button(label, async () => {
        try {
          await this.#call('POST', `/held-messages/${messageId}/${how}`);
          done();
          made.parentElement?.replaceChildren(how === 'allow' ? 'Allowed' : 'Denied');
        } catch (error) {
          made.parentElement?.replaceChildren(errorText(error));
        }
      }, 'chat-link');
      return made;
    };
    return [decide('Allow', 'allow'), decide('Deny', 'deny')];
  }

  openRoom() {
    this.#sheet.open(
      'Moderation',
      element(
        'div',
        { className: 'chat-menu' },
        button('Chat settings', () => void this.#openSettings(), 'chat-menu-item'),
        button('Messages that wait', () => void this.#openHeld(), 'chat-menu-item'),
        button('Bans and timeouts', () => void this.#openBans(), 'chat-menu-item'),
        this.#deed('Unpin message', 'DELETE', '/pinned-message'),
        button('Clear chat', () => this.#confirmClear(), 'chat-menu-item is-danger'),
      ),
    );
  }

  #confirmClear() {
    this.#sheet.open(
      'Clear the chat?',
      element('p', { textContent: 'Nobody will see the messages written until now.' }),
      element('div', { className: 'chat-menu' }, this.#deed('Clear chat', 'DELETE', '/messages', undefined, 'is-danger'), button('Cancel', () => this.openRoom(), 'chat-menu-item')),
    );
  }

  async #openSettings() {
    let answer = null;
    if (!(await this.#sheet.attempt(async () => (answer = await this.#call('GET', '/chat-settings'))))) return;
    const form = settingsForm(answer.data);
    form.element.addEventListener('submit', async (event) => {
      event.preventDefault();
      const save = () => this.#call('PUT', '/chat-settings', { body: form.read(), ifMatch: answer.etag });
      if (await this.#sheet.attempt(save)) this.#sheet.close();
    });
    this.#sheet.open('Chat settings', form.element);
  }

  async #openHeld() {
    await this.#openList('Messages that wait', '/held-messages?limit=50', 'No message waits.', (held) => [
      element('span', { textContent: `${held.displayName}: ${held.message}` }),
      element('span', { className: 'chat-event-actions' }, ...this.decisions(held.id).map((make) => make())),
    ]);
  }

  async #openBans() {
    await this.#openList('Bans and timeouts', '/bans?limit=50', 'Nobody is banned.', (ban) => {
      const until = ban.until ? `for ${waitText((Date.parse(ban.until) - Date.now()) / 1000)} more` : 'banned';
      const lift = button('Lift', async () => {
        const isDone = await this.#sheet.attempt(() => this.#call('DELETE', `/bans/${ban.userId}`));
        if (isDone) lift.replaceWith('Lifted');
      }, 'chat-link');
      return [element('span', { textContent: `${ban.username}, ${until}${ban.reason ? `: ${ban.reason}` : ''}` }), lift];
    });
  }

  async #openList(title, path, nothing, row) {
    let rows = [];
    if (!(await this.#sheet.attempt(async () => (rows = (await this.#call('GET', path)).data)))) return;
    const list = element('ul', { className: 'chat-rows' }, ...rows.map((each) => element('li', {}, ...row(each))));
    this.#sheet.open(title, rows.length > 0 ? list : element('p', { textContent: nothing }), button('Back', () => this.openRoom(), 'chat-link'));
  }
}

function settingsForm(settings) {
  const slow = choice(SLOW.map((seconds) => [seconds, seconds === 0 ? 'Off' : `${seconds} s`]), settings.slowModeSec);
  const followers = choice(FOLLOWED, settings.followersOnlySec ?? '');
  const links = choice(LINKS, settings.links);
  const subscribers = check('Subscribers only', settings.subscribersOnly);
  const emotes = check('Emoji only', settings.emoteOnly);
  const unique = check('Nothing that was just said', settings.uniqueChat);
  const save = element('button', { className: 'button is-main', textContent: 'Save' });
  const rows = [field('Slow mode', slow), field('Who may write', followers), field('Links', links), subscribers.row, emotes.row, unique.row, save];
  return {
    element: element('form', { className: 'chat-sheet-form' }, ...rows),
    read: () => ({
      slowModeSec: Number(slow.value),
      followersOnlySec: followers.value === '' ? null : Number(followers.value),
      subscribersOnly: subscribers.input.checked,
      emoteOnly: emotes.input.checked,
      uniqueChat: unique.input.checked,
      links: links.value,
    }),
  };
}

/** A value that is not among the choices, set by a program, becomes one. */
function choice(options, value) {
  const isListed = options.some(([each]) => String(each) === String(value));
  const all = isListed ? options : [...options, [value, `${value} s`]];
  const select = element('select', {}, ...all.map(([each, label]) => new Option(label, each)));
  select.value = String(value);
  return select;
}
