/**
 * Keeps playback close to the live edge. Pure: numbers in, a decision out; no element, no clock.
 *
 * Rules:
 * - Drift is undone by playback rate, gently and with hysteresis, so that nobody hears it.
 * - Only what rate cannot undo is undone by a seek: far behind, in a gap, or outside of what is buffered.
 * - Every stall moves the target away from the edge; a long time without one moves it back.
 */

export const DEFAULTS = Object.freeze({
  targetSeconds: 1.0,
  maxTargetSeconds: 3.0,
  stallPenaltySeconds: 0.4,
  calmSeconds: 60,
  speedUpBeyond: 0.35,
  slowDownBelow: 0.5,
  maxRate: 1.1,
  minRate: 0.95,
  ratePerSecond: 0.08,
  seekBeyondSeconds: 6,
  stuckSeconds: 1.0,
  toleranceSeconds: 0.1,
  /** Less than this before the end of a range is not worth a hop: media has simply run out. */
  hopSeconds: 0.3,
});

const NORMAL = 1;

/** The range that holds `position`, or null. `ranges` is a list of {start, end} in seconds, in order. */
export function rangeAt(ranges, position, tolerance = 0) {
  return ranges.find((range) => position >= range.start - tolerance && position <= range.end + tolerance) ?? null;
}

/** Seconds between `position` and the end of what is buffered; 0 when nothing is. */
export function distanceToEdge(ranges, position) {
  return ranges.length > 0 ? ranges.at(-1).end - position : 0;
}

/** What may be removed before `position`, so that `keep` seconds stay; null when it is not worth it. */
export function evictable(ranges, position, keep, step = 10) {
  if (ranges.length === 0) return null;
  const start = ranges[0].start;
  const end = position - keep;
  return end - start >= step ? { start, end } : null;
}

export class LiveEdgeController {
  #options;
  #penalty = 0;
  #calmSince = null;
  #rate = NORMAL;
  #lastPosition = null;
  #movedAt = 0;
  #hasStarted = false;

  constructor(options = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Seconds from the edge that are aimed for now. */
  get target() {
    return Math.min(this.#options.targetSeconds + this.#penalty, this.#options.maxTargetSeconds);
  }

  /** Playback ran dry: keep more distance from now on. */
  noteStall(now) {
    this.#penalty = Math.min(
      this.#penalty + this.#options.stallPenaltySeconds,
      this.#options.maxTargetSeconds - this.#options.targetSeconds,
    );
    this.#calmSince = now;
  }

  /** Another source begins: nothing known of the old one's positions counts. */
  reset() {
    this.#rate = NORMAL;
    this.#lastPosition = null;
    this.#hasStarted = false;
  }

  /**
   * Decide for one moment. `now` and `position` in seconds.
   * Returns {rate, seekTo}: the playback rate to set, and a position to seek to or null.
   */
  decide({ now, position, ranges, isPaused = false }) {
    this.#relax(now);
    if (ranges.length === 0 || isPaused) {
      this.#lastPosition = null;
      return { rate: NORMAL, seekTo: null };
    }
    const seekTo = this.#seekTarget(now, position, ranges);
    if (seekTo !== null) {
      this.#rate = NORMAL;
      this.#lastPosition = null;
      return { rate: NORMAL, seekTo };
    }
    return { rate: this.#chooseRate(distanceToEdge(ranges, position)), seekTo: null };
  }

  #seekTarget(now, position, ranges) {
    const { seekBeyondSeconds, toleranceSeconds } = this.#options;
    if (!this.#hasStarted) {
      this.#hasStarted = true;
      return this.#nearEdge(ranges);
    }
    const distance = distanceToEdge(ranges, position);
    if (distance > Math.max(seekBeyondSeconds, this.target * 2)) return this.#nearEdge(ranges);
    if (rangeAt(ranges, position, toleranceSeconds) === null) return this.#outOfGap(position, ranges);
    return this.#unstick(now, position, ranges);
  }

  /** The target distance before the edge, inside of the last range. */
  #nearEdge(ranges) {
    const last = ranges.at(-1);
    return Math.max(last.start, last.end - this.target);
  }

  /** To where media goes on behind a gap. Ahead of everything means that the timeline jumped back. */
  #outOfGap(position, ranges) {
    const next = ranges.find((range) => range.start > position);
    return next === undefined ? this.#nearEdge(ranges) : next.start;
  }

  /** Some decoders stop inside of what is buffered; a short hop gets them going. */
  #unstick(now, position, ranges) {
    if (position !== this.#lastPosition) {
      this.#lastPosition = position;
      this.#movedAt = now;
      return null;
    }
    if (now - this.#movedAt < this.#options.stuckSeconds) return null;
    const { hopSeconds, toleranceSeconds } = this.#options;
    const range = rangeAt(ranges, position, toleranceSeconds);
    if (range.end - position > hopSeconds) return position + toleranceSeconds;
    return ranges.find((other) => other.start > range.start)?.start ?? null;
  }

  #chooseRate(distance) {
    const { speedUpBeyond, slowDownBelow, maxRate, minRate, ratePerSecond, targetSeconds } = this.#options;
    const target = this.target;
    const excess = distance - target;
    const isFast = this.#rate > NORMAL;
    const isSlow = this.#rate < NORMAL;
    if (excess > speedUpBeyond || (isFast && excess > speedUpBeyond / 4)) {
      this.#rate = Math.min(maxRate, NORMAL + Math.max(excess, speedUpBeyond / 2) * ratePerSecond);
    } else if (distance < target - slowDownBelow * targetSeconds || (isSlow && excess < 0)) {
      this.#rate = minRate;
    } else {
      this.#rate = NORMAL;
    }
    return Math.round(this.#rate * 100) / 100;
  }

  #relax(now) {
    if (this.#penalty === 0) return;
    this.#calmSince ??= now;
    if (now - this.#calmSince < this.#options.calmSeconds) return;
    this.#penalty = Math.max(0, this.#penalty - this.#options.stallPenaltySeconds);
    this.#calmSince = now;
  }
}
