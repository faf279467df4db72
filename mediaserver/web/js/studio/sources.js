/**
 * The camera, the microphone and the shared screen.
 *
 * Fires 'change' when one of them starts, stops or is muted, 'devices' when there are others to choose from,
 * and 'problem' with `{error, what}` as its detail.
 */

const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Sources extends EventTarget {
  #camera = null;
  #microphone = null;
  #screen = null;
  #quality;
  #chosen = { camera: '', microphone: '' };
  isMuted = false;

  /** `quality` is one of QUALITIES. */
  constructor(quality) {
    super();
    this.#quality = quality;
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.dispatchEvent(new Event('devices')));
  }

  /** The track that viewers see: the screen before the camera; null when there is neither. */
  get video() {
    return this.#screen ?? this.#camera;
  }

  get audio() {
    return this.#microphone;
  }

  get hasCamera() {
    return this.#camera !== null;
  }

  get isSharing() {
    return this.#screen !== null;
  }

  /** A picture of the one who looks at it is shown as in a mirror. */
  get isMirrored() {
    const side = this.#camera?.getSettings?.().facingMode;
    return !this.isSharing && this.hasCamera && side !== 'environment';
  }

  /** The devices' ids in use. */
  get inUse() {
    const idOf = (track) => track?.getSettings?.().deviceId ?? '';
    return { camera: idOf(this.#camera), microphone: idOf(this.#microphone) };
  }

  /** `{cameras, microphones}`; without names until the browser was allowed to use one. */
  async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const known = devices.filter(({ deviceId }) => deviceId !== '');
    return {
      cameras: known.filter(({ kind }) => kind === 'videoinput'),
      microphones: known.filter(({ kind }) => kind === 'audioinput'),
    };
  }

  /** Camera and microphone with one question; whichever there is where one is missing. */
  async startBoth() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: this.#cameraWish(), audio: this.#microphoneWish() });
      this.#takeCamera(stream.getVideoTracks()[0]);
      this.#takeMicrophone(stream.getAudioTracks()[0]);
    } catch (error) {
      if (error.name === 'NotAllowedError') this.#problem(error, 'camera and microphone');
      else await Promise.all([this.startCamera(), this.startMicrophone()]);
    }
  }

  /** `deviceId` '' is the browser's choice. */
  async startCamera(deviceId = this.#chosen.camera) {
    this.#chosen.camera = deviceId;
    await this.#start('camera', { video: this.#cameraWish() }, (track) => this.#takeCamera(track));
  }

  async startMicrophone(deviceId = this.#chosen.microphone) {
    this.#chosen.microphone = deviceId;
    await this.#start('microphone', { audio: this.#microphoneWish() }, (track) => this.#takeMicrophone(track));
  }

  stopCamera() {
    this.#takeCamera(null);
  }

  async startScreen() {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 30 }, audio: false });
      const [track] = stream.getVideoTracks();
      track.contentHint = 'detail';
      this.#takeScreen(track);
    } catch (error) {
      // Whoever closes the browser's own question has changed their mind: that is no problem.
      if (error.name !== 'NotAllowedError') this.#problem(error, 'screen');
    }
  }

  stopScreen() {
    this.#takeScreen(null);
  }

  mute(isMuted) {
    this.isMuted = isMuted;
    if (this.#microphone !== null) this.#microphone.enabled = !isMuted;
    this.#changed();
  }

  async useQuality(quality) {
    this.#quality = quality;
    await this.#camera?.applyConstraints(this.#sizeWish()).catch(() => {});
    this.#changed();
  }

  async #start(what, wish, take) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(wish);
      take(stream.getTracks()[0]);
    } catch (error) {
      this.#problem(error, what);
    }
  }

  #takeCamera(track) {
    this.#camera?.stop();
    this.#camera = track ?? null;
    if (track) track.addEventListener('ended', () => this.#camera === track && this.#lost('camera', () => this.#takeCamera(null)));
    this.#changed();
  }

  #takeMicrophone(track) {
    this.#microphone?.stop();
    this.#microphone = track ?? null;
    if (track) {
      track.enabled = !this.isMuted;
      track.addEventListener('ended', () => this.#microphone === track && this.#lost('microphone', () => this.#takeMicrophone(null)));
    }
    this.#changed();
  }

  #takeScreen(track) {
    this.#screen?.stop();
    this.#screen = track;
    track?.addEventListener('ended', () => this.#screen === track && this.#takeScreen(null));
    this.#changed();
  }

  #lost(what, drop) {
    drop();
    this.#problem(new DOMException('it was unplugged or taken away', 'NotFoundError'), what);
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }

  #problem(error, what) {
    this.dispatchEvent(new CustomEvent('problem', { detail: { error, what } }));
  }

  #cameraWish() {
    return { ...this.#sizeWish(), ...(this.#chosen.camera ? { deviceId: { exact: this.#chosen.camera } } : { facingMode: 'user' }) };
  }

  #sizeWish() {
    const { width, height, frameRate } = this.#quality;
    return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
  }

  #microphoneWish() {
    return { ...AUDIO, ...(this.#chosen.microphone && { deviceId: { exact: this.#chosen.microphone } }) };
  }
}
