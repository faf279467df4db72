/** The control bar and the keyboard. Knows the player and the element, not the network. */
import { readPreference, writePreference } from '../preferences.js';
import { setIcon } from './icons.js';

const IDLE_MILLISECONDS = 3000;

export class Controls {
  #player;
  #video;
  #stage = byId('player');
  #idleTimer = 0;

  constructor(player, video) {
    this.#player = player;
    this.#video = video;
    this.#restoreSound();
    this.#bindPlayback();
    this.#bindSound();
    this.#bindFullscreen();
    this.#bindPicture();
    this.#bindIdle();
    document.addEventListener('keydown', (event) => this.#key(event));
  }

  /** Show what the player is doing. */
  update() {
    const { isPaused } = this.#player;
    setIcon('play-icon', isPaused ? 'play' : 'pause');
    byId('play').setAttribute('aria-label', isPaused ? 'Play (k)' : 'Pause (k)');
    byId('resume').hidden = !isPaused;
  }

  #restoreSound() {
    this.#video.volume = Math.min(1, Math.max(0, Number(readPreference('volume', 1)) || 0));
    this.#video.muted = readPreference('muted', false) === true;
  }

  #bindPlayback() {
    const toggle = () => (this.#player.isPaused ? this.#player.play() : this.#player.pause());
    byId('play').addEventListener('click', toggle);
    byId('resume').addEventListener('click', toggle);
    this.#video.addEventListener('click', () => this.#wake());
  }

  #bindSound() {
    const video = this.#video;
    byId('mute').addEventListener('click', () => this.#toggleMute());
    byId('unmute').addEventListener('click', () => this.#toggleMute());
    byId('volume').addEventListener('input', (event) => {
      video.volume = Number(event.target.value);
      this.#setMuted(video.volume === 0);
    });
    video.addEventListener('volumechange', () => this.#showSound());
    this.#showSound();
  }

  #toggleMute() {
    if (this.#video.muted && this.#video.volume === 0) this.#video.volume = 0.5;
    this.#setMuted(!this.#video.muted);
  }

  #setMuted(isMuted) {
    this.#video.muted = isMuted;
    writePreference('muted', isMuted);
    writePreference('volume', this.#video.volume);
  }

  #showSound() {
    const { muted, volume } = this.#video;
    setIcon('mute-icon', muted ? 'silent' : 'sound');
    byId('mute').setAttribute('aria-label', muted ? 'Unmute (m)' : 'Mute (m)');
    byId('volume').value = muted ? 0 : volume;
    // Muted by the browser, not by the viewer: they should know, and undo it with one tap.
    byId('unmute').hidden = !muted || readPreference('muted', false) === true;
  }

  #bindFullscreen() {
    byId('fullscreen').addEventListener('click', () => this.#toggleFullscreen());
    byId('fullscreen').hidden = !document.fullscreenEnabled && !this.#video.webkitEnterFullscreen;
    this.#video.addEventListener('dblclick', () => this.#toggleFullscreen());
  }

  #toggleFullscreen() {
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (document.fullscreenEnabled) this.#stage.requestFullscreen().catch(() => {});
    else this.#video.webkitEnterFullscreen?.(); // iPhones know only this one
  }

  #bindPicture() {
    byId('picture').hidden = !document.pictureInPictureEnabled;
    byId('picture').addEventListener('click', () => {
      const change = document.pictureInPictureElement
        ? document.exitPictureInPicture()
        : this.#video.requestPictureInPicture();
      change.catch(() => {});
    });
  }

  #bindIdle() {
    for (const name of ['pointermove', 'pointerdown', 'keydown']) {
      this.#stage.addEventListener(name, () => this.#wake());
    }
    this.#stage.addEventListener('pointerleave', () => this.#sleep());
    this.#wake();
  }

  #wake() {
    this.#stage.classList.remove('is-idle');
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#sleep(), IDLE_MILLISECONDS);
  }

  #sleep() {
    this.#stage.classList.toggle('is-idle', this.#stage.dataset.screen === 'live');
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const isOnButton = event.target.closest?.('button, a, select, input') !== null;
    const action = {
      k: () => byId('play').click(),
      ' ': isOnButton ? undefined : () => byId('play').click(),
      m: () => this.#toggleMute(),
      f: () => this.#toggleFullscreen(),
    }[event.key.toLowerCase()];
    if (action === undefined || event.repeat) return;
    event.preventDefault();
    this.#wake();
    action();
  }
}

function isTyping(target) {
  return target.isContentEditable || target.matches?.('textarea, input:not([type="range"])') === true;
}

function byId(id) {
  return document.getElementById(id);
}
