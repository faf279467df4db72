/** Pictures out of the one file that holds them all, beside these modules wherever they are served. */
const FILE = new URL('../../icons.svg', import.meta.url).pathname;

const SVG = 'http://www.w3.org/2000/svg';

/** The picture `name` as an element, which says nothing to screen readers. */
export function icon(name) {
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `${FILE}#${name}`);
  const made = document.createElementNS(SVG, 'svg');
  made.setAttribute('class', 'icon');
  made.setAttribute('aria-hidden', 'true');
  made.append(use);
  return made;
}

/** Let the `use` element `id` show the picture `name`. */
export function setIcon(id, name) {
  document.getElementById(id).setAttribute('href', `${FILE}#${name}`);
}
