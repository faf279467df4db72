/**
 * How pictures fly, by the gift's hint: `{size, keyframes, timing}` of each. Pure, but for chance.
 *
 * Lengths are in percent of the stage (cqw, cqh), so that it is the same on a phone and on a wall.
 */
const between = (least, most) => least + Math.random() * (most - least);
const times = (count, make) => Array.from({ length: count }, (_, number) => make(number));
const at = (x, y, more = '') => `translate(${x.toFixed(1)}cqw, ${y.toFixed(1)}cqh) ${more}`;

const KINDS = {
  float: () => times(3, rising),
  burst: () => times(12, bursting),
  shower: () => times(24, falling),
  fullscreen: () => [crossing(), ...times(16, falling)],
};

export function particles(animation) {
  return (KINDS[animation] ?? KINDS.float)();
}

function rising(number) {
  const x = between(4, 40);
  return {
    size: 'small',
    keyframes: [
      { opacity: 0, transform: at(x, 84, 'scale(0.5)') },
      { opacity: 1, transform: at(x + between(-3, 3), 65), offset: 0.25 },
      { opacity: 1, transform: at(x + between(-4, 4), 35), offset: 0.7 },
      { opacity: 0, transform: at(x + between(-5, 5), 10, 'scale(1.2)') },
    ],
    timing: { duration: between(2200, 3000), delay: number * 180, easing: 'ease-out' },
  };
}

function bursting(number) {
  const angle = ((number + Math.random() / 2) / 12) * 2 * Math.PI;
  const [x, y] = [47 + Math.cos(angle) * between(18, 34), 44 + Math.sin(angle) * between(22, 38)];
  return {
    size: 'small',
    keyframes: [
      { opacity: 0, transform: at(47, 44, 'scale(0.2)') },
      { opacity: 1, transform: at(x, y, `rotate(${between(-40, 40).toFixed()}deg)`), offset: 0.45, easing: 'ease-in' },
      { opacity: 0, transform: at(x, y + 18, 'scale(0.7)') },
    ],
    timing: { duration: between(1500, 2000), delay: between(0, 150), easing: 'cubic-bezier(.1,.8,.3,1)' },
  };
}

function falling() {
  const x = between(2, 94);
  return {
    size: 'small',
    keyframes: [
      { opacity: 0, transform: at(x, -14) },
      { opacity: 1, transform: at(x, 5), offset: 0.15 },
      { opacity: 1, transform: at(x + between(-6, 6), 75, `rotate(${between(-180, 180).toFixed()}deg)`), offset: 0.8 },
      { opacity: 0, transform: at(x + between(-6, 6), 98) },
    ],
    timing: { duration: between(1900, 2900), delay: between(0, 1400), easing: 'linear' },
  };
}

function crossing() {
  return {
    size: 'big',
    keyframes: [
      { opacity: 0, transform: at(0, 60, 'scale(0.3)'), easing: 'cubic-bezier(.2,.8,.3,1)' },
      { opacity: 1, transform: at(0, 0), offset: 0.35 },
      { opacity: 1, transform: at(0, -3, 'scale(1.06)'), offset: 0.7, easing: 'ease-in' },
      { opacity: 0, transform: at(0, -110, 'scale(1.3)') },
    ],
    timing: { duration: 3800 },
  };
}
