/** What the chat says, as people read it. Pure. */
import { coinsText } from '../format.js';

const SENTENCES = {
  account_suspended: 'Your account is suspended.',
  age_restricted: 'This chat is for adults only.',
  already_creator: 'You are a creator already. Load this page again.',
  already_onboarded: 'That is set up already.',
  already_subscribed: 'You are a subscriber already.',
  application_pending: 'You have applied. Somebody of this server decides about it.',
  bad_pattern: 'One of the patterns cannot be used.',
  ban_not_found: 'Nobody of that name is banned.',
  banned: 'You are banned from this chat.',
  below_payout_minimum: 'You have not earned as much as the minimum yet.',
  blocked: 'The owner of this room has blocked you.',
  blocked_term: 'Your message holds a word that this chat does not take.',
  busy: 'The chat is very busy. Try again in a moment.',
  cannot_moderate: 'Nobody moderates the owner, staff or another moderator.',
  creators_only: 'Only creators have plans.',
  discount_expired: 'This code has expired.',
  discount_is_reward: 'This code gives coins by itself.',
  discount_needs_purchase: 'This code is for buying coins.',
  discount_not_found: 'There is no such code.',
  discount_used: 'You have used this code already.',
  discount_used_up: 'This code has been used up.',
  duplicate: 'You have just said that.',
  email_taken: 'There is an account with this e-mail address already.',
  emote_only: 'Only emoji may be sent now.',
  filtered: 'Your message was not let through.',
  followers_only: 'Only followers may write here.',
  gift_not_found: 'This gift is not offered any more.',
  insufficient_coins: 'You have not enough coins.',
  invalid_credentials: 'The name or the password is wrong.',
  invalid_two_factor_code: 'The code is wrong, or was used already.',
  links_not_allowed: 'Links are not allowed in this chat.',
  message_empty: 'There is nothing in your message.',
  message_not_found: 'The message is gone.',
  message_too_long: 'Your message is too long.',
  not_a_moderator: 'Only moderators may do that.',
  not_joined: 'You are not in the chat now.',
  not_unique: 'Somebody has just said that.',
  offline: 'Not connected. If your message does not appear, send it again.',
  own_plan: 'Nobody subscribes to themselves.',
  own_room: 'This is your own room. Gifts are for others.',
  package_not_found: 'These coins are not sold any more.',
  payment_provider_changed: 'It was paid in another way than this server takes now. Ask its operator.',
  payment_provider_refused: 'The payment could not be begun. Nothing was paid. Try again later.',
  payments_not_configured: 'This server takes no payments.',
  payout_in_progress: 'A payout is on its way already.',
  payout_not_onboarded: 'Set up where you are paid first.',
  plan_not_found: 'This plan is not offered any more.',
  plan_not_offered: 'This plan is not offered any more.',
  private_room: 'This chat is private.',
  rate_limited: 'That was a little fast.',
  request_in_progress: 'The server is still at it. Try again in a moment.',
  room_not_found: 'There is no such room.',
  room_not_live: 'Gifts can be given while the stream is live.',
  sign_in_required: 'Sign in to take part.',
  slow_mode: 'Slow mode is on.',
  subscribers_only: 'Only subscribers may write here.',
  subscription_not_found: 'There is no such subscription any more.',
  subscription_not_running: 'It is not paid yet, or has ended.',
  subscription_pending: 'A checkout for it is open or being paid. Look again in a moment.',
  timed_out: 'You cannot write for a while.',
  timeout: 'The server did not answer. If your message does not appear, send it again.',
  too_many_plans: 'There are as many plans as there can be. Change one.',
  unanswered: 'The server did not answer. Try again: nothing is paid twice.',
  unauthorized: 'Sign in again: your session has ended.',
  unavailable: 'The chat cannot take it now. If your message does not appear, send it again.',
  unreachable: 'The server cannot be reached. Try again.',
  user_not_found: 'There is no such user.',
  username_taken: 'This name is taken.',
  version_mismatch: 'Somebody else has just changed the settings. Look at them again.',
};

const LINK = /\bhttps?:\/\/[^\s<>"']+/gi;
const TRAILING = /[.,;:!?)\]}]+$/;

/** One sentence for a refusal `{code, message?, retryAfter?}`. */
export function errorText({ code, message = '', retryAfter = null }) {
  const sentence = SENTENCES[code] ?? (message || 'That did not work.');
  return retryAfter ? `${sentence} Try again in ${waitText(retryAfter)}.` : sentence;
}

/** Seconds -> "8 s", "3 min", "2 h", "5 days"; rounded up, since it is waited for. */
export function waitText(seconds) {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.ceil(seconds / 3600)} h`;
  return `${Math.ceil(seconds / 86_400)} days`;
}

/** A frame that is a line of its own: `{text, tone}`; null for all others. `giftName` gives a gift's name by its slug. */
export function eventLine({ t, d }, giftName = (slug) => slug) {
  const line = (text, tone = 'quiet') => ({ text, tone });
  switch (t) {
    case 'gift':
      return line(giftText(d, giftName(d.gift)), 'gift');
    case 'tip':
      return line(`${d.from.username} tipped ${coinsText(d.coins)}${d.message ? `: ${d.message}` : ''}`, 'gift');
    case 'follow':
      return line(`${d.username} now follows`, 'happy');
    case 'subscription':
      return line(`${d.username} subscribed: ${d.plan}${d.months > 1 ? `, ${d.months} months in all` : ''}`, 'gift');
    case 'stream-started':
      return line('The stream has started', 'happy');
    case 'stream-ended':
      return line('The stream has ended');
    case 'chat-cleared':
      return line('The chat was cleared');
    case 'user-banned':
      return line(`${d.username} was banned`);
    case 'user-timed-out':
      return line(`${d.username} was timed out for ${waitText(d.durationSec)}`);
    case 'user-unbanned':
      return line(`${d.username} may write again`);
    case 'moderator-added':
      return line(`${d.username} is a moderator now`);
    case 'moderator-removed':
      return line(`${d.username} is no moderator any more`);
    case 'settings-changed':
      return line(`Chat settings: ${modesText(d.settings) || 'everybody may write'}`);
    default:
      return null;
  }
}

function giftText({ from, quantity, coins, combo }, name) {
  const inARow = combo > quantity ? `, ${combo.toLocaleString('en')} in a row` : '';
  return `${from.username} gave ${quantity} × ${name} (${coinsText(coins)})${inARow}`;
}

/** What a room's settings ask of those who write; empty when nothing. */
export function modesText(settings) {
  const { slowModeSec, followersOnlySec, links } = settings;
  const followed = followersOnlySec > 0 ? ` of ${waitText(followersOnlySec)}` : '';
  return [
    slowModeSec > 0 && `slow mode ${slowModeSec} s`,
    followersOnlySec !== null && `followers${followed} only`,
    settings.subscribersOnly && 'subscribers only',
    settings.emoteOnly && 'emoji only',
    settings.uniqueChat && 'no repeats',
    links === 'refuse' && 'no links',
    links === 'hold' && 'links are reviewed',
  ].filter(Boolean).join(' · ');
}

/** Names of those who write now, without `me`. */
export function typingText(names) {
  if (names.length === 0) return '';
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return 'Several people are typing…';
}

/** Cut a message into `{kind: 'text' | 'link' | 'mention', text, userId?}`, in order. */
export function textParts(message, mentions = []) {
  const ids = new Map(mentions.map(({ userId, username }) => [username.toLowerCase(), userId]));
  const parts = [];
  let end = 0;
  for (const match of message.matchAll(LINK)) {
    const link = match[0].replace(TRAILING, '');
    parts.push(...mentionParts(message.slice(end, match.index), ids));
    parts.push({ kind: 'link', text: link });
    end = match.index + link.length;
  }
  parts.push(...mentionParts(message.slice(end), ids));
  return parts;
}

/** As the server counts: an emoji of one code point is one character. */
export function characterCount(text) {
  return [...text.trim()].length;
}

/** One of `count` colours, always the same for one user. */
export function colourOf(userId, count) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const character of userId) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return (hash >>> 16) % count;
}

function mentionParts(text, ids) {
  if (text === '') return [];
  const plain = (part) => ({ kind: 'text', text: part });
  if (ids.size === 0) return [plain(text)];
  return text.split(/(@[A-Za-z0-9_]+)/).filter(Boolean).map((part) => {
    const userId = part.startsWith('@') ? ids.get(part.slice(1).toLowerCase()) : undefined;
    return userId === undefined ? plain(part) : { kind: 'mention', text: part, userId };
  });
}
