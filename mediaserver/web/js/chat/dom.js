/** Elements without markup: text is only ever set as text. */

/** `properties` are those of the element, and `data` for its dataset. Children are elements or text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const { data = {}, attributes = {}, ...plain } = properties;
  Object.assign(made, plain);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function button(text, onClick, className = 'button') {
  const made = element('button', { type: 'button', className, textContent: text });
  made.addEventListener('click', onClick);
  return made;
}

/** A labelled field. */
export function field(label, input) {
  return element('label', { className: 'chat-field' }, element('span', { textContent: label }), input);
}

export function check(label, isChecked) {
  const input = element('input', { type: 'checkbox', checked: isChecked });
  return { input, row: element('label', { className: 'chat-check' }, input, element('span', { textContent: label })) };
}

export function byId(id) {
  return document.getElementById(id);
}
