/** Who is writing now. */
import { byId } from './dom.js';
import { typingText } from './words.js';

const LASTING_SECONDS = 5;

export class Typing {
  #people = new Map();

  are(users) {
    for (const { userId, username } of users) {
      clearTimeout(this.#people.get(userId)?.timer);
      const timer = setTimeout(() => this.isDone(userId), LASTING_SECONDS * 1000);
      this.#people.set(userId, { username, timer });
    }
    this.#show();
  }

  isDone(userId) {
    const person = this.#people.get(userId);
    if (person === undefined) return;
    clearTimeout(person.timer);
    this.#people.delete(userId);
    this.#show();
  }

  #show() {
    byId('chat-typing').textContent = typingText([...this.#people.values()].map(({ username }) => username));
  }
}
