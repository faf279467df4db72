/** How many coins one has. Fires 'change' when that is known to be another number. */
export class Wallet extends EventTarget {
  #api;
  #turn = 0;
  /** Null when not known. */
  coins = null;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** Throws ApiError. An answer that a newer one has overtaken is not taken. */
  async refresh() {
    const turn = (this.#turn += 1);
    const { data } = await this.#api.call('GET', '/wallet');
    if (turn === this.#turn) this.set(data.coins);
  }

  set(coins) {
    this.#turn += 1;
    if (coins === this.coins) return;
    this.coins = coins;
    this.dispatchEvent(new Event('change'));
  }
}
