/** The line where messages are written: counts, waits out slow mode, sends, and gives back what was refused. */
import { byId } from './dom.js';
import { characterCount, errorText, waitText } from './words.js';

const MOST_CHARACTERS = 500;
const COUNTED_FROM = 400;
const TYPING_SECONDS = 3;
const UNCERTAIN = ['timeout', 'offline', 'unavailable'];
const WAITING = ['slow_mode', 'rate_limited', 'timed_out', 'followers_only'];

export class Composer {
  #link;
  #text = byId('chat-text');
  #send = byId('chat-send');
  #replyTo = null;
  #waitUntil = 0;
  #typedAt = -Infinity;
  #timer = 0;
  #uncertain = null;

  /** `slowModeSeconds()` is how long this user waits between messages. */
  constructor(link, slowModeSeconds) {
    this.#link = link;
    this.slowModeSeconds = slowModeSeconds;
    byId('chat-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#text.addEventListener('input', () => this.#typed());
    this.#text.addEventListener('keydown', (event) => this.#key(event));
    byId('chat-reply-cancel').addEventListener('click', () => this.reply(null));
  }

  /** Answer `message`, or nobody in particular with null. */
  reply(message) {
    this.#replyTo = message;
    byId('chat-reply').hidden = message === null;
    byId('chat-reply-text').textContent = message ? `${message.displayName}: ${message.message}` : '';
    this.#text.focus();
  }

  mention(username) {
    const { value } = this.#text;
    this.#text.value = `${value}${value === '' || value.endsWith(' ') ? '' : ' '}@${username} `;
    this.#text.focus();
    this.#update();
  }

  /** Nothing can be sent for so long; 0 ends it. */
  wait(seconds) {
    this.#waitUntil = performance.now() + seconds * 1000;
    clearInterval(this.#timer);
    if (seconds > 0) this.#timer = setInterval(() => this.#update(), 250);
    this.#update();
  }

  say(text) {
    byId('chat-note').textContent = text;
  }

  /** A message of one's own has arrived: what was not acknowledged need not be sent again. */
  arrived(message) {
    if (this.#uncertain === null || this.#uncertain !== message) return;
    if (this.#text.value.trim() === message) this.#text.value = '';
    this.#uncertain = null;
    this.say('');
    this.#update();
  }

  async #submit() {
    const message = this.#text.value.trim().replace(/\s*\n\s*/g, ' ');
    if (message === '' || this.#send.disabled) return;
    const replyTo = this.#replyTo;
    this.#text.value = '';
    this.reply(null);
    this.say('');
    this.#update();
    try {
      const answer = await this.#link.ask('chat-message', { message, ...(replyTo && { replyTo: replyTo.id }) });
      this.wait(this.slowModeSeconds());
      if (answer.status === 'held') this.say('Your message waits for a moderator.');
    } catch (error) {
      this.#refused(error, message, replyTo);
    }
  }

  #refused(error, message, replyTo) {
    if (this.#text.value === '') {
      this.#text.value = message;
      if (replyTo) this.reply(replyTo);
    }
    this.#uncertain = UNCERTAIN.includes(error.code) ? message : null;
    this.say(errorText(WAITING.includes(error.code) ? { ...error, retryAfter: null } : error));
    if (error.retryAfter) this.wait(error.retryAfter);
    this.#update();
  }

  #typed() {
    this.#update();
    const now = performance.now() / 1000;
    if (this.#text.value.trim() === '' || now - this.#typedAt < TYPING_SECONDS) return;
    this.#typedAt = now;
    this.#link.tell('typing');
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      void this.#submit();
    } else if (event.key === 'Escape' && this.#replyTo !== null) this.reply(null);
  }

  #update() {
    const count = characterCount(this.#text.value);
    const seconds = Math.max(0, (this.#waitUntil - performance.now()) / 1000);
    if (seconds === 0) clearInterval(this.#timer);
    this.#send.disabled = count === 0 || count > MOST_CHARACTERS || seconds > 0;
    this.#send.textContent = seconds > 0 ? waitText(seconds) : 'Send';
    const counter = byId('chat-counter');
    counter.hidden = count < COUNTED_FROM;
    counter.textContent = `${count} / ${MOST_CHARACTERS}`;
    counter.classList.toggle('is-over', count > MOST_CHARACTERS);
  }
}
