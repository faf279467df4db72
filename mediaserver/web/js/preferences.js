/** Choices that are kept in this browser. Where storage is forbidden they last as long as the page. */
const PREFIX = 'mediaserver.';
const fallback = new Map();

export function readPreference(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return fallback.get(name) ?? otherwise;
  }
}

export function writePreference(name, value) {
  fallback.set(name, value);
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Kept in the map above.
  }
}
