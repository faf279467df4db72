/** Money on the watch page: the button, what can be given, what was given over the video, and who gave most. */
import { byId } from '../chat/dom.js';
import { errorText } from '../chat/words.js';
import { coinsText } from '../format.js';
import { Board } from './board.js';
import { Catalogue } from './catalogue.js';
import { Giving } from './giving.js';
import { Scene } from './scene.js';
import { Shop } from './shop.js';
import { Till } from './till.js';
import { Tray } from './tray.js';
import { Wallet } from './wallet.js';

const LOST = 'The connection was lost. Trying again: nothing is paid twice.';

export class Gifts {
  #account;
  #sheet;
  #signIn;
  #till;
  #wallet;
  #catalogue;
  #giving;
  #tray;
  #shop;
  #board;
  #scene = new Scene();
  #roomId;
  #room = { isLive: false, isOwn: false, isSignedIn: false };

  /** Works with what the chat has: `{api, account, sheet, signIn}`. */
  constructor({ api, account, sheet, signIn }, roomId) {
    this.#account = account;
    this.#sheet = sheet;
    this.#signIn = signIn;
    this.#roomId = roomId;
    this.#till = new Till(api);
    this.#wallet = new Wallet(api);
    this.#catalogue = new Catalogue(api);
    this.#giving = new Giving(this.#till, roomId);
    this.#tray = new Tray(sheet);
    this.#shop = new Shop({ api, till: this.#till, wallet: this.#wallet, sheet, back: () => void this.#open() });
    this.#board = new Board(api, roomId);
    this.#bind();
  }

  /** What the room is now, as far as it is known: `{isLive?, isOwn?, isSignedIn?}`. */
  show(room) {
    const wasLive = this.#room.isLive;
    this.#room = { ...this.#room, ...room };
    byId('gift').hidden = !this.#room.isLive || this.#room.isOwn;
    if (this.#room.isLive && !wasLive) this.#catalogue.load().catch(() => {});
  }

  /** The room let us in. */
  showBoard() {
    this.#board.begin();
  }

  /** A frame of the room. Of what was missed there is nothing to see any more. */
  take({ t, d }, isMissed) {
    if (t !== 'gift' && t !== 'tip') return;
    this.#board.given(d.roomCoins);
    if (!isMissed) this.#scene.play(t === 'gift' ? this.#giftAct(d) : tipAct(d));
  }

  /** By its slug. */
  find(slug) {
    return this.#catalogue.find(slug);
  }

  #bind() {
    byId('gift').addEventListener('click', () => void this.#open());
    this.#account.addEventListener('change', () => this.#accountChanged());
    this.#wallet.addEventListener('change', () => this.#showCoins());
    this.#tray.addEventListener('quantity', () => this.#showCoins());
    this.#tray.addEventListener('shop', () => void this.#shop.open());
    this.#tray.addEventListener('give', ({ detail }) => void this.#give(detail));
    this.#tray.addEventListener('tip', ({ detail }) => void this.#tip(detail));
    this.#giving.addEventListener('change', () => this.#showCoins());
    this.#till.addEventListener('lost', () => this.#sheet.say(LOST));
    this.#giving.addEventListener('given', ({ detail }) => this.#given(detail));
    this.#giving.addEventListener('refused', ({ detail }) => this.#refused(detail));
    addEventListener('focus', () => this.#lookedAt());
    document.addEventListener('visibilitychange', () => document.hidden || this.#lookedAt());
  }

  async #open() {
    // The chat knows of the cookie before the page does.
    if (this.#account.user === null && this.#room.isSignedIn) await this.#account.restore();
    if (this.#account.user === null) {
      this.#askToSignIn();
      return;
    }
    const failure = await Promise.all([this.#catalogue.load(), this.#wallet.refresh()]).catch((error) => error);
    this.#tray.open(this.#catalogue.gifts, this.#left);
    if (!Array.isArray(failure)) this.#refuse(failure);
  }

  #askToSignIn() {
    this.#signIn.open(() => void this.#open());
  }

  get #left() {
    return this.#wallet.coins === null ? null : this.#wallet.coins - this.#giving.outstanding;
  }

  async #give({ gift, quantity }) {
    this.#sheet.say('');
    const cost = gift.priceCoins * quantity;
    if (await this.#isShort(cost)) this.#tooDear(`${quantity > 1 ? `${quantity} × ` : ''}${gift.name} costs ${coinsText(cost)}`);
    else if (this.#giving.give(gift, quantity)) this.#tray.taken(gift, quantity);
    else this.#sheet.say(errorText({ code: 'rate_limited' }));
  }

  #given({ gift, answer }) {
    this.#sheet.say('');
    this.#wallet.set(answer.wallet.coins);
    this.#tray.given(gift, answer.giftTransaction.combo);
  }

  #refused({ gift, error }) {
    this.#tray.refused(gift);
    if (error.code === 'insufficient_coins') void this.#wallet.refresh().catch(() => {});
    // Who has closed the tray meanwhile must hear of it as well.
    if (!this.#sheet.isOpen) this.#tray.open(this.#catalogue.gifts, this.#left);
    this.#refuse(error);
  }

  async #tip(tip) {
    if (await this.#isShort(tip.coins)) return this.#tooDear(`The tip is ${coinsText(tip.coins)}`);
    let refusal = null;
    await this.#sheet.attempt(async () => {
      try {
        this.#wallet.set((await this.#till.pay(`/rooms/${this.#roomId}/tips`, tip)).wallet.coins);
        this.#tray.tipped();
      } catch (error) {
        refusal = error;
      }
    });
    if (refusal === null) this.#sheet.say('');
    else this.#refuse(refusal);
  }

  /** Coins may have come since they were counted. */
  async #isShort(cost) {
    if (this.#left !== null && this.#left < cost && this.#giving.outstanding === 0) await this.#wallet.refresh().catch(() => {});
    return this.#left !== null && this.#left < cost;
  }

  #tooDear(what) {
    void this.#shop.open(`Not enough coins: ${what}, and you have ${this.#left.toLocaleString('en')}.`);
  }

  #refuse(error) {
    if (error.code === 'insufficient_coins') {
      void this.#shop.open(errorText(error));
      return;
    }
    if (error.status === 401) {
      this.#account.forget();
      this.#askToSignIn();
    }
    this.#sheet.say(errorText(error));
  }

  #showCoins() {
    this.#tray.showCoins(this.#left);
  }

  #accountChanged() {
    this.#till.forget();
    this.#giving.forget();
    this.#wallet.set(null);
    if (this.#account.user === null && this.#tray.isOpen) this.#sheet.close();
  }

  #lookedAt() {
    if (this.#account.user === null || this.#giving.outstanding > 0) return;
    if (this.#tray.isOpen) this.#wallet.refresh().catch(() => {});
    this.#shop.look();
  }

  #giftAct({ from, gift, coins, combo }) {
    const { name, picture, animation } = this.#catalogue.find(gift);
    return { key: `${from.userId} ${gift}`, kind: 'gift', who: from.username, words: `sent ${name}`, picture, count: combo, coins, animation };
  }
}

function tipAct({ from, coins, message }) {
  const words = `tipped ${coinsText(coins)}${message ? `: ${message}` : ''}`;
  return { key: `${from.userId} tip ${crypto.getRandomValues(new Uint32Array(2)).join()}`, kind: 'tip', who: from.username, words, picture: null, count: 1, coins, animation: 'burst' };
}
