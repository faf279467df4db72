/** How loud the microphone is: a bar for the eye, a number for screen readers. */
import { byId } from '../chat/dom.js';

const LOOK_MILLISECONDS = 60;
/** Screen readers are told about twice a second. */
const TELL_EVERY = 8;
const QUIETEST_DECIBELS = -60;

export class LevelMeter {
  #context = null;
  #source = null;
  #analyser = null;
  #track = null;
  #samples = new Float32Array(512);
  #looks = 0;

  constructor() {
    setInterval(() => this.#look(), LOOK_MILLISECONDS);
    // Browsers let a page listen only after a click or a key.
    for (const name of ['pointerdown', 'keydown']) addEventListener(name, () => void this.#context?.resume());
  }

  /** Listen to `track`; null to nothing. */
  follow(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#source?.disconnect();
    this.#source = null;
    byId('meter').hidden = track === null;
    if (track === null) return;
    this.#context ??= new AudioContext();
    void this.#context.resume();
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: this.#samples.length });
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
  }

  #look() {
    if (this.#source === null) return;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const level = this.#track.enabled ? levelOf(this.#samples) : 0;
    byId('meter-bar').style.clipPath = `inset(0 ${((1 - level) * 100).toFixed(1)}% 0 0)`;
    this.#looks += 1;
    if (this.#looks % TELL_EVERY === 0) byId('meter').setAttribute('aria-valuenow', String(Math.round(level * 100)));
  }
}

/** From 0 to 1, as ears hear it. Pure. */
export function levelOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = power > 0 ? 10 * Math.log10(power) : -Infinity;
  return Math.min(1, Math.max(0, 1 - decibels / QUIETEST_DECIBELS));
}
