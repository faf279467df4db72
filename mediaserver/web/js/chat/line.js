/** The elements of one line of the chat. */
import { pictureElement } from '../gifts/catalogue.js';
import { element } from './dom.js';
import { colourOf, textParts } from './words.js';

export const COLOURS = 8;
const QUOTE_LENGTH = 80;
const BADGES = { owner: 'Owner', moderator: 'Mod', staff: 'Staff', subscriber: 'Sub' };
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });

/** `item` is `{kind: 'message', …body of new-message}` or `{kind: 'event', text, tone, actions?, picture?}`. */
export function buildLine(item, context) {
  return item.kind === 'message' ? messageLine(item, context) : eventLine(item);
}

function eventLine({ text, tone, actions = [], picture }) {
  const line = element('li', { className: `chat-event is-${tone}` }, element('span', { textContent: text }));
  line.tabIndex = -1;
  if (picture !== undefined) line.prepend(pictureElement(picture, 'chat-picture'));
  if (actions.length > 0) line.append(element('span', { className: 'chat-event-actions' }, ...actions.map((make) => make())));
  return line;
}

function messageLine(item, { me, find }) {
  const isForMe = me !== null && item.mentions.some(({ userId }) => userId === me);
  const line = element('li', { className: 'chat-line', tabIndex: -1, data: { id: item.id } });
  line.classList.toggle('is-for-me', isForMe || (item.replyTo !== null && find(item.replyTo)?.userId === me && me !== null));
  line.classList.toggle('is-mine', item.userId === me);
  if (item.replyTo !== null) line.append(quote(find(item.replyTo)));
  line.append(
    element('time', { className: 'chat-time', dateTime: item.timestamp, textContent: CLOCK.format(new Date(item.timestamp)) }),
    ' ',
    ...badge(item.badge),
    name(item),
    ' ',
    element('span', { className: 'chat-words' }, ...words(item, me)),
    tools(),
  );
  return line;
}

function quote(message) {
  const text = message ? `${message.displayName}: ${message.message.slice(0, QUOTE_LENGTH)}` : 'an earlier message';
  return element('span', { className: 'chat-quote' }, element('span', { className: 'hidden-text', textContent: 'Reply to ' }), text);
}

function badge(kind) {
  const text = BADGES[kind];
  return text ? [element('span', { className: `chat-badge is-${kind}`, textContent: text }), ' '] : [];
}

function name({ userId, username, displayName }) {
  return element('button', {
    type: 'button',
    className: `chat-name chat-colour-${colourOf(userId, COLOURS)}`,
    title: `@${username}`,
    tabIndex: -1,
    textContent: displayName,
    data: { act: 'menu' },
  });
}

function tools() {
  const tool = (act, label, sign) =>
    element('button', { type: 'button', tabIndex: -1, textContent: sign, data: { act }, attributes: { 'aria-label': label, title: label } });
  return element('span', { className: 'chat-tools' }, tool('reply', 'Reply', '↩'), tool('menu', 'More', '⋯'));
}

function words({ message, mentions }, me) {
  return textParts(message, mentions).map(({ kind, text, userId }) => {
    if (kind === 'text') return text;
    if (kind === 'mention') return element('b', { className: userId === me ? 'chat-mention is-me' : 'chat-mention', textContent: text });
    return element('a', { href: text, target: '_blank', rel: 'noopener noreferrer nofollow ugc', textContent: text });
  });
}
