/** The figures of the connection, in words. */
import { byId, element } from '../chat/dom.js';
import { bitrateText } from '../format.js';

/** From these on somebody should look at it. */
const MUCH_LOSS = 0.03;
const LONG_WAY_SECONDS = 0.3;
const NOTHING = '–';
const LIMITED = { bandwidth: 'Your upload is too slow for this quality: it is lowered by itself.', cpu: 'This device is too slow for this quality: it is lowered by itself.' };

/** `figures` as sendingFigures gives them, or null while nothing is sent. */
export function showFigures(figures) {
  byId('figures').replaceChildren(...rowsOf(figures).map(row));
}

/** What is to be said of the connection beside the figures; '' when all is well. Pure. */
export function adviceOf(figures) {
  if (figures?.loss > MUCH_LOSS) return 'Your connection loses packets. A cable instead of Wi-Fi, or a lower quality, helps.';
  return LIMITED[figures?.limitedBy] ?? '';
}

/** `[name, text, isBad]` of each figure. Pure. */
export function rowsOf(figures) {
  const { bitrate = null, roundTrip = null, loss = null, framesPerSecond = null, width = 0, height = 0, codecs = [] } = figures ?? {};
  return [
    ['Bit rate', bitrate === null ? NOTHING : bitrateText(bitrate), false],
    ['Round trip', roundTrip === null ? NOTHING : `${Math.round(roundTrip * 1000)} ms`, roundTrip > LONG_WAY_SECONDS],
    ['Loss', loss === null ? NOTHING : `${(loss * 100).toFixed(1)} %`, loss > MUCH_LOSS],
    ['Picture', width ? `${width} × ${height}` : NOTHING, false],
    ['Frames', framesPerSecond === null ? NOTHING : `${Math.round(framesPerSecond)} per second`, false],
    ['Codecs', codecs.join(', ') || NOTHING, false],
  ];
}

function row([name, text, isBad]) {
  return element('div', { className: isBad ? 'is-bad' : '' }, element('dt', { textContent: name }), element('dd', { textContent: text }));
}
