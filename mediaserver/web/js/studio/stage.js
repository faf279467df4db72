/** Who is in the room beside the host: raised hands, invitations, and what a host may do about somebody. */
import { button, byId, element } from '../chat/dom.js';
import { RtcLink, State } from '../rtc/link.js';
import { Faces } from './faces.js';
import { listedPeople, stageNote } from './stage_words.js';

export class Stage {
  #api;
  #sheet;
  #link = null;
  #roomId = null;
  #faces = new Faces(() => this.#playbackToken());
  #invited = new Set();
  #problem = '';

  constructor(api, sheet) {
    this.#api = api;
    this.#sheet = sheet;
  }

  /** Be the host of this room; of none with null. */
  follow(roomId) {
    if (roomId === this.#roomId) return;
    this.#link?.stop();
    this.#link = null;
    this.#roomId = roomId;
    this.#invited.clear();
    byId('stage').hidden = true;
    this.#faces.show(null, []);
    if (roomId === null) return;
    const link = (this.#link = new RtcLink(roomId, () => this.#publishToken()));
    const ifCurrent = (act) => (event) => this.#link === link && act(event);
    link.addEventListener('state', ifCurrent(() => this.#show()));
    link.addEventListener('people', ifCurrent(() => this.#show()));
    link.addEventListener('told', ifCurrent(({ detail }) => this.#told(detail)));
    link.start();
  }

  async #publishToken() {
    return (await this.#api.call('POST', `/rooms/${this.#roomId}/publish-token`)).data.token;
  }

  async #playbackToken() {
    return (await this.#api.call('POST', `/rooms/${this.#roomId}/playback-token`)).data.token;
  }

  #told({ method, data }) {
    if (method === 'activeSpeaker') this.#faces.speaks(data.participantId);
    if (method === 'invitationDeclined') {
      this.#invited.delete(data.participantId);
      this.#problem = `${this.#link.people.get(data.participantId)?.name ?? 'Somebody'} did not accept the invitation.`;
      this.#show();
    }
  }

  /** A server without `/rtc` never gets as far as showing the panel. */
  #show() {
    const { state, people, me } = this.#link;
    if (state === State.OPEN) byId('stage').hidden = false;
    const others = [...people.values()].filter(({ id }) => id !== me);
    for (const { id, role } of others) if (role !== 'listener') this.#invited.delete(id);
    const note = this.#problem || stageNote(state, others, this.#link.refusal);
    if (byId('stage-note').textContent !== note) byId('stage-note').textContent = note;
    this.#problem = '';
    this.#list(others);
    const onStage = others.filter(({ role }) => role !== 'listener');
    this.#faces.show(this.#roomId, onStage.map((person) => ({ ...person, tracks: this.#link.tracksOf(person.id) })));
  }

  /** Rebuilt as a whole; the focus stays where it was. */
  #list(others) {
    const list = byId('stage-people');
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(...listedPeople(others).map((person) => this.#row(person)));
    if (focused !== null) [...list.querySelectorAll('button')].find(({ dataset }) => dataset.key === focused)?.focus();
  }

  #row(person) {
    const name = element('span', { className: 'name', textContent: person.name });
    const actions = this.#actions(person);
    return element('li', {}, name, ...badges(person), actions.length > 0 ? element('span', { className: 'actions' }, ...actions) : null);
  }

  #actions(person) {
    const { id, name, role, muted } = person;
    const act = (label, method, data = {}) => {
      const made = button(label, () => void this.#do(method, { participantId: id, ...data }));
      made.dataset.key = `${id} ${method}`;
      made.setAttribute('aria-label', `${label}: ${name}`);
      return made;
    };
    const remove = button('Remove', () => this.#askRemove(person));
    remove.dataset.key = `${id} remove`;
    remove.setAttribute('aria-label', `Remove: ${name}`);
    if (role === 'listener') return [this.#isInvited(act('Invite', 'inviteToStage'), id), remove];
    if (role === 'host') return [];
    const sound = { kinds: ['audio'] };
    const voice = muted.includes('audio') ? act('Let speak', 'unmuteParticipant', sound) : act('Mute', 'muteParticipant', sound);
    return [voice, act('To the audience', 'setRole', { role: 'listener' }), remove];
  }

  #isInvited(made, id) {
    if (!this.#invited.has(id)) return made;
    made.textContent = 'Invited';
    made.disabled = true;
    return made;
  }

  #askRemove({ id, name }) {
    const yes = button('Remove', async () => {
      if (await this.#sheet.attempt(() => this.#link.ask('removeParticipant', { participantId: id }))) this.#sheet.close();
    }, 'button is-main');
    this.#sheet.open(`Remove ${name}?`, element('p', { textContent: 'They leave the stage and the room, and cannot come back to the stage.' }), yes, button('Keep', () => this.#sheet.close()));
  }

  async #do(method, data) {
    try {
      await this.#link.ask(method, data);
      if (method === 'inviteToStage') this.#invited.add(data.participantId);
    } catch (error) {
      this.#problem = error.message;
    }
    this.#show();
  }
}

function badges({ role, handRaised, muted, isAway }) {
  const badge = (text, className = 'badge') => element('span', { className, textContent: text });
  return [
    handRaised ? badge('✋ Hand raised', 'badge is-raised') : null,
    role === 'listener' ? null : badge({ host: 'Host', 'co-host': 'Co-host', speaker: 'On stage' }[role] ?? role),
    muted.includes('audio') ? badge('Muted') : null,
    isAway ? badge('Away') : null,
  ].filter(Boolean);
}
