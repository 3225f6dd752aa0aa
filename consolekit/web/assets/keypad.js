/**
 * Keypad: the buttons that send keys. Knows the panel "keys" and what keys.js lists.
 */

import {COMBINATIONS, CONSOLES, KEYSYMS, SINGLES, STICKY, press} from './keys.js';

/**
 * Fill the panel with buttons.
 *
 * @param {() => object|null} rfb the live RFB object, if any
 * @param {() => void} done after a combination was sent
 * @returns {{send: (codes: string[]) => void, release: () => void}}
 */
export function fillKeys(rfb, done) {
  const send = (codes) => { if (rfb()) press(rfb(), codes); };
  fill('combinations', COMBINATIONS, (codes) => { send(codes); done(); });
  fill('consoles', CONSOLES, (codes) => { send(codes); done(); });
  fill('singles', SINGLES, send);
  const held = STICKY.map((key) => stickyButton(key, rfb));
  return {
    send: (codes) => { send(codes); done(); },
    release: () => { for (const button of held) button.setAttribute('aria-pressed', 'false'); },
  };
}

function fill(id, items, action) {
  for (const {label, name, codes} of items) {
    const button = keyButton(id, label, name ?? label);
    button.addEventListener('click', () => action(codes));
  }
}

function stickyButton({code, label}, rfb) {
  const button = keyButton('sticky', label, `Hold ${label}`);
  button.setAttribute('aria-pressed', 'false');
  button.addEventListener('click', () => {
    const down = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(down));
    rfb()?.sendKey(KEYSYMS[code], code, down);
  });
  return button;
}

function keyButton(row, label, name) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'key';
  button.textContent = label;
  button.dataset.keys = name;
  button.setAttribute('aria-label', name);
  document.getElementById(row).append(button);
  return button;
}
