/** Pictures out of the one file that holds them all, beside these modules wherever they are served. */
const FILE = new URL('../../icons.svg', import.meta.url).pathname;

/** Let the `use` element `id` show the picture `name`. */
export function setIcon(id, name) {
  document.getElementById(id).setAttribute('href', `${FILE}#${name}`);
}
