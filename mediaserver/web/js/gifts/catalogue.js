/** What can be given, asked for once. */
import { element } from '../chat/dom.js';
import { icon } from '../ui/icons.js';

const UNKNOWN = '🎁';

export class Catalogue {
  #api;
  #asked = null;
  #bySlug = new Map();
  gifts = [];

  constructor(api) {
    this.#api = api;
  }

  /** Throws ApiError, and may be called again then. */
  load() {
    this.#asked ??= this.#ask().catch((error) => {
      this.#asked = null;
      throw error;
    });
    return this.#asked;
  }

  /** Gifts that are given no more, or that came later, are known by their slug only. */
  find(slug) {
    return this.#bySlug.get(slug) ?? { slug, name: slug, picture: UNKNOWN, animation: 'float' };
  }

  async #ask() {
    const { data } = await this.#api.call('GET', '/gifts?limit=100');
    this.gifts = data;
    this.#bySlug = new Map(data.map((gift) => [gift.slug, gift]));
  }
}

/** `picture` is an address, an emoji, or null for coins. */
export function pictureElement(picture, className) {
  const made = element('span', { className, attributes: { 'aria-hidden': 'true' } });
  if (picture === null) made.append(icon('coin'));
  else if (isAddress(picture)) made.append(image(picture));
  else made.textContent = picture;
  return made;
}

function image(address) {
  const made = element('img', { src: address, alt: '', decoding: 'async', draggable: false });
  made.addEventListener('error', () => made.replaceWith(UNKNOWN));
  return made;
}

function isAddress(picture) {
  return picture.startsWith('/') || /^https?:/.test(picture);
}
