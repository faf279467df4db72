/** What viewers see, and the choice of devices. */
import { byId } from '../chat/dom.js';
import { setIcon } from '../ui/icons.js';

export class Preview {
  #sources;
  #stream = new MediaStream();

  constructor(sources) {
    this.#sources = sources;
    byId('cameras').addEventListener('change', ({ target }) => void sources.startCamera(target.value));
    byId('microphones').addEventListener('change', ({ target }) => void sources.startMicrophone(target.value));
    byId('start-sources').addEventListener('click', () => void sources.startBoth());
    byId('microphone-toggle').addEventListener('click', () => this.#toggleMicrophone());
    byId('camera-toggle').addEventListener('click', () => this.#toggleCamera());
    byId('screen-toggle').addEventListener('click', () => (sources.isSharing ? sources.stopScreen() : void sources.startScreen()));
    byId('screen-toggle').hidden = !navigator.mediaDevices?.getDisplayMedia;
    sources.addEventListener('devices', () => void this.#list());
    sources.addEventListener('change', () => this.#changed());
    this.#changed();
  }

  #toggleMicrophone() {
    if (this.#sources.audio === null) void this.#sources.startMicrophone();
    else this.#sources.mute(!this.#sources.isMuted);
  }

  #toggleCamera() {
    if (this.#sources.hasCamera) this.#sources.stopCamera();
    else void this.#sources.startCamera();
  }

  #changed() {
    const { video, audio } = this.#sources;
    for (const track of this.#stream.getTracks()) if (track !== video) this.#stream.removeTrack(track);
    if (video !== null && !this.#stream.getTracks().includes(video)) this.#stream.addTrack(video);
    const element = byId('picture-preview');
    // A stream without tracks would keep the page from ever being loaded.
    const shown = video === null ? null : this.#stream;
    if (element.srcObject !== shown) element.srcObject = shown;
    element.hidden = video === null;
    element.classList.toggle('is-mirrored', this.#sources.isMirrored);
    if (video !== null) element.play().catch(() => {});
    byId('preview-words').hidden = video !== null;
    byId('start-sources').hidden = audio !== null;
    byId('preview-text').textContent = audio === null ? 'Nobody sees or hears you before you go live.' : 'Sound only: the camera is off.';
    this.#showButtons();
    void this.#list();
  }

  #showButtons() {
    const { audio, isMuted, hasCamera, isSharing } = this.#sources;
    const isHeard = audio !== null && !isMuted;
    toggle('microphone', isHeard, isHeard ? 'Mute' : audio === null ? 'Microphone' : 'Unmute');
    setIcon('microphone-icon', isHeard ? 'microphone' : 'muted');
    toggle('camera', hasCamera, hasCamera ? 'Camera off' : 'Camera on');
    setIcon('camera-icon', hasCamera ? 'camera' : 'nocamera');
    toggle('screen', isSharing, isSharing ? 'Stop sharing' : 'Share screen');
    byId('muted-flag').hidden = audio === null || !isMuted;
  }

  async #list() {
    const { cameras, microphones } = await this.#sources.list().catch(() => ({ cameras: [], microphones: [] }));
    const { camera, microphone } = this.#sources.inUse;
    fill('cameras', cameras, camera, 'Camera');
    fill('microphones', microphones, microphone, 'Microphone');
  }
}

function toggle(name, isOn, text) {
  byId(`${name}-toggle`).setAttribute('aria-pressed', String(isOn));
  byId(`${name}-text`).textContent = text;
}

function fill(id, devices, inUse, name) {
  const select = byId(id);
  const options = devices.map(({ deviceId, label }, n) => new Option(label || `${name} ${n + 1}`, deviceId));
  const isSame = options.length > 0 && options.map(({ value, text }) => value + text).join() === [...select.options].map(({ value, text }) => value + text).join();
  if (!isSame) select.replaceChildren(...(options.length > 0 ? options : [new Option('The usual one', '')]));
  select.disabled = options.length === 0;
  if (inUse) select.value = inUse;
}
