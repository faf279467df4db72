/** What can be chosen as quality: the camera's size and what is sent at most. Pure. */

export const QUALITIES = [
  { name: '1080p', label: '1080p, up to 4.5 Mb/s', width: 1920, height: 1080, frameRate: 30, bitrate: 4_500_000 },
  { name: '720p', label: '720p, up to 2.5 Mb/s', width: 1280, height: 720, frameRate: 30, bitrate: 2_500_000 },
  { name: '480p', label: '480p, up to 1.2 Mb/s', width: 854, height: 480, frameRate: 30, bitrate: 1_200_000 },
  { name: '360p', label: '360p, up to 0.6 Mb/s', width: 640, height: 360, frameRate: 30, bitrate: 600_000 },
];
const USUAL = '720p';

export function qualityOf(name) {
  return QUALITIES.find((quality) => quality.name === name) ?? QUALITIES.find((quality) => quality.name === USUAL);
}

/** For WhipClient.limit. Text on a screen must stay readable; a face may lose detail rather than stutter. */
export function limitsOf({ bitrate, frameRate }, isScreen) {
  return { bitrate, frameRate, keeps: isScreen ? 'maintain-resolution' : 'balanced' };
}
