/** The forms for signing in and registering, and the way out. */
import { button, element, field } from './dom.js';

export class SignIn {
  #account;
  #sheet;
  #afterwards = null;

  constructor(account, sheet) {
    this.#account = account;
    this.#sheet = sheet;
  }

  /** `afterwards` is done when somebody has signed in. */
  open(afterwards = null) {
    this.#afterwards = afterwards;
    if (this.#account.user !== null) this.#openAccount();
    else this.#openSignIn();
  }

  #openAccount() {
    const { displayName, username } = this.#account.user;
    const out = async () => {
      if (await this.#sheet.attempt(() => this.#account.signOut())) this.#sheet.close();
    };
    this.#sheet.open(displayName, element('p', { textContent: `Signed in as @${username}` }), button('Sign out', out));
  }

  #openSignIn() {
    const name = input('text', 'username', 'username', { minLength: 3, maxLength: 254, autocapitalize: 'none' });
    const password = input('password', 'password', 'current-password', { maxLength: 100 });
    const code = input('text', 'code', 'one-time-code', { minLength: 6, maxLength: 32, required: false });
    const codeField = field('Two-factor code', code);
    codeField.hidden = true;
    const submit = async () => {
      let isDone = false;
      const work = async () => {
        isDone = await this.#account.signIn(name.value.trim(), password.value, code.value.trim());
      };
      if (!(await this.#sheet.attempt(work))) return;
      if (isDone) this.#done();
      else askCode(codeField, code);
    };
    const other = button('Make an account', () => this.#openRegister(), 'chat-link');
    this.#sheet.open('Sign in', form(submit, 'Sign in', field('Name or e-mail', name), field('Password', password), codeField), other);
  }

  #openRegister() {
    const email = input('email', 'email', 'email', { maxLength: 254 });
    const name = input('text', 'username', 'username', { minLength: 3, maxLength: 30, pattern: '[A-Za-z0-9_]+', autocapitalize: 'none' });
    name.title = 'Letters, digits and _';
    const password = input('password', 'password', 'new-password', { minLength: 8, maxLength: 100 });
    const terms = input('checkbox', 'terms', 'off');
    const submit = async () => {
      const work = () => this.#account.register(email.value.trim(), name.value.trim(), password.value);
      if (await this.#sheet.attempt(work)) this.#done();
    };
    const termsRow = element('label', { className: 'chat-check' }, terms, element('span', { textContent: 'I accept the terms of this server' }));
    const fields = [field('E-mail', email), field('User name', name), field('Password (8 characters or more)', password), termsRow];
    this.#sheet.open('Make an account', form(submit, 'Register', ...fields), button('I have an account', () => this.#openSignIn(), 'chat-link'));
  }

  #done() {
    this.#sheet.close();
    this.#afterwards?.();
    this.#afterwards = null;
  }
}

function askCode(codeField, code) {
  codeField.hidden = false;
  code.required = true;
  code.focus();
}

function input(type, name, autocomplete, more = {}) {
  return element('input', { type, name, autocomplete, required: true, ...more });
}

function form(submit, label, ...fields) {
  const made = element('form', { className: 'chat-sheet-form' }, ...fields, element('button', { className: 'button is-main', textContent: label }));
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  return made;
}
