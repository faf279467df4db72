/** Keeps the last picture in sight while another connection is being made. */
const MAX_WIDTH = 1280;

export class LastPicture {
  #video;
  #canvas;

  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    // A new source blanks the element at once; by then the picture must be here.
    video.addEventListener('emptied', () => this.#canvas.classList.contains('is-drawn') && this.#show(true));
    video.addEventListener('playing', () => this.#show(false));
  }

  /** Draw what is on the screen now. Call it when the connection is found to be lost. */
  take() {
    const { videoWidth, videoHeight, readyState } = this.#video;
    if (videoWidth === 0 || readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const scale = Math.min(1, MAX_WIDTH / videoWidth);
    this.#canvas.width = videoWidth * scale;
    this.#canvas.height = videoHeight * scale;
    this.#canvas.getContext('2d').drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    this.#canvas.classList.add('is-drawn');
  }

  #show(isShown) {
    this.#canvas.hidden = !isShown;
  }
}
