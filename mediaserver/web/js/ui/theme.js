/** The button that goes through automatic, light and dark. Blocks rendering, so that nothing flashes. */
import { readPreference, writePreference } from '../preferences.js';

const THEMES = ['auto', 'light', 'dark'];
const NAMES = { auto: 'Auto', light: 'Light', dark: 'Dark' };

let theme = THEMES.includes(readPreference('theme', 'auto')) ? readPreference('theme', 'auto') : 'auto';
applyToPage();
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', addButton);
else addButton();

function applyToPage() {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function addButton() {
  const button = document.getElementById('theme');
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    writePreference('theme', theme);
    applyToPage();
    name(button);
  });
  name(button);
}

function name(button) {
  button.setAttribute('aria-label', `Colours: ${NAMES[theme]}. Change`);
  document.getElementById('theme-name').textContent = NAMES[theme];
}
