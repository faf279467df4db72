/** Who is signed in on this page. Fires 'change' when that is somebody else. */
export class Account extends EventTarget {
  #api;
  user = null;

  constructor(api) {
    super();
    this.#api = api;
  }

  /** Ask who the cookie stands for. To be called only when there is reason to think that it does. */
  async restore() {
    try {
      const { data } = await this.#api.call('GET', '/auth/session');
      this.#set(data.csrfToken === null ? null : data.user, data.csrfToken);
    } catch (error) {
      if (error.status === 401) this.#set(null, null);
    }
  }

  /** False when a two-factor code is needed too. Throws ApiError. */
  async signIn(username, password, twoFactorCode) {
    const body = { username, password, ...(twoFactorCode && { twoFactorCode }) };
    const { data } = await this.#api.call('POST', '/auth/login', { body });
    if (data.requiresTwoFactor) return false;
    await this.restore();
    return true;
  }

  async register(email, username, password) {
    await this.#api.call('POST', '/auth/register', { body: { email, username, password, acceptTerms: true } });
    await this.restore();
  }

  async signOut() {
    await this.#api.call('POST', '/auth/logout');
    this.#set(null, null);
  }

  /** The server has ended the session. */
  forget() {
    this.#set(null, null);
  }

  /** A ticket that opens one chat connection, or null for somebody who has not signed in. Throws ApiError. */
  async ticket() {
    if (this.user === null) return null;
    try {
      return (await this.#api.call('POST', '/chat/tickets')).data.ticket;
    } catch (error) {
      if (error.status !== 401) throw error;
      this.#set(null, null);
      return null;
    }
  }

  #set(user, csrfToken) {
    const isSame = this.user?.id === user?.id;
    this.user = user;
    this.#api.csrfToken = csrfToken;
    if (!isSame) this.dispatchEvent(new Event('change'));
  }
}
