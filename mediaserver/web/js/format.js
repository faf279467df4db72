/** Numbers and codecs as people read them. Pure. */

const CODEC_NAMES = [
  [/^avc[13]/, 'H.264'],
  [/^(hvc1|hev1)/, 'HEVC'],
  [/^av01/, 'AV1'],
  [/^vp09/, 'VP9'],
  [/^mp4a\.(6b|69|40\.34)/i, 'MP3'],
  [/^mp4a/, 'AAC'],
  [/^opus/i, 'Opus'],
  [/^ac-3/, 'AC-3'],
  [/^flac/i, 'FLAC'],
];

/** "avc1.64001f" -> "H.264". An unknown codec stays as it is. */
export function codecName(codecString) {
  return CODEC_NAMES.find(([pattern]) => pattern.test(codecString))?.[1] ?? codecString;
}

/** 1 -> "1 viewer", 12345 -> "12,345 viewers". */
export function viewersText(count) {
  return `${count.toLocaleString('en')} ${count === 1 ? 'viewer' : 'viewers'}`;
}

/** 1 -> "1 coin", 12345 -> "12,345 coins". */
export function coinsText(count) {
  return `${count.toLocaleString('en')} ${count === 1 ? 'coin' : 'coins'}`;
}

/** Minor units of an ISO 4217 currency: 499, "usd" -> "$4.99"; 500, "jpy" -> "¥500". */
export function moneyText(amount, currency) {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** Bits per second -> "2.4 Mb/s". */
export function bitrateText(bitsPerSecond) {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}

/** Seconds -> "0:07", "12:34", "1:02:03". */
export function durationText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** {codec, width, height, frameRate} -> "H.264 · 720p30"; a portrait picture is named by its narrow side. */
export function videoText(video) {
  if (!video) return '';
  const lines = video.width && video.height ? `${Math.min(video.width, video.height)}p` : '';
  const rate = lines && video.frameRate ? String(Math.round(video.frameRate)) : '';
  return [codecName(video.codec), lines + rate].filter(Boolean).join(' · ');
}

/** {codec, sampleRate, channels} -> "AAC · 48 kHz · stereo". */
export function audioText(audio) {
  if (!audio) return '';
  const channels = { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' }[audio.channels] ?? `${audio.channels} channels`;
  return [codecName(audio.codec), `${audio.sampleRate / 1000} kHz`, channels].join(' · ');
}
