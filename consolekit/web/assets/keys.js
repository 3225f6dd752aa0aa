/**
 * Keys: X11 keysyms (RFC 6143 section 7.5.4), key combinations, and text as key presses.
 * Knows an RFB object's sendKey(), nothing of the page.
 */

const SHIFTED = /^[A-Z~!@#$%^&*()_+{}|:"<>?]$/;   // what a US keyboard types with Shift
const LONGEST_TEXT = 4096;

/** By KeyboardEvent.code: what noVNC needs to send scan codes where the server takes them. */
export const KEYSYMS = {
  ControlLeft: 0xffe3, AltLeft: 0xffe9, ShiftLeft: 0xffe1, MetaLeft: 0xffeb,
  Delete: 0xffff, Backspace: 0xff08, Tab: 0xff09, Enter: 0xff0d, Escape: 0xff1b,
  PrintScreen: 0xff61, Insert: 0xff63, Home: 0xff50, End: 0xff57, PageUp: 0xff55,
  PageDown: 0xff56, ArrowLeft: 0xff51, ArrowUp: 0xff52, ArrowRight: 0xff53, ArrowDown: 0xff54,
};
for (let number = 1; number <= 12; number += 1) KEYSYMS[`F${number}`] = 0xffbd + number;

/** Keys that stay down until they are clicked again. */
export const STICKY = [
  {code: 'ControlLeft', label: 'Ctrl'}, {code: 'AltLeft', label: 'Alt'},
  {code: 'ShiftLeft', label: 'Shift'}, {code: 'MetaLeft', label: 'Super'},
];

export const COMBINATIONS = [
  {label: 'Ctrl+Alt+Del', codes: ['ControlLeft', 'AltLeft', 'Delete']},
  {label: 'Ctrl+Alt+Backspace', codes: ['ControlLeft', 'AltLeft', 'Backspace']},
  {label: 'Alt+Tab', codes: ['AltLeft', 'Tab']},
  {label: 'Alt+F4', codes: ['AltLeft', 'F4']},
  {label: 'Super', codes: ['MetaLeft']},
  {label: 'Ctrl+Esc', codes: ['ControlLeft', 'Escape']},
  {label: 'Alt+PrintScreen', codes: ['AltLeft', 'PrintScreen']},
];

export const CONSOLES = Array.from({length: 12}, (_, index) => (
  {label: `F${index + 1}`, name: `Ctrl+Alt+F${index + 1}`,
   codes: ['ControlLeft', 'AltLeft', `F${index + 1}`]}));

export const SINGLES = [
  {label: 'Esc', codes: ['Escape']}, {label: 'Tab', codes: ['Tab']},
  {label: '←', name: 'Left', codes: ['ArrowLeft']}, {label: '↑', name: 'Up', codes: ['ArrowUp']},
  {label: '↓', name: 'Down', codes: ['ArrowDown']},
  {label: '→', name: 'Right', codes: ['ArrowRight']},
  {label: 'Enter', codes: ['Enter']}, {label: 'Backspace', codes: ['Backspace']},
  {label: 'Delete', codes: ['Delete']}, {label: 'Insert', codes: ['Insert']},
  {label: 'Home', codes: ['Home']}, {label: 'End', codes: ['End']},
  {label: 'Page up', codes: ['PageUp']}, {label: 'Page down', codes: ['PageDown']},
  {label: 'PrintScreen', codes: ['PrintScreen']},
];

/** Press the keys in order, let them go in the opposite order. */
export function press(rfb, codes) {
  for (const code of codes) rfb.sendKey(KEYSYMS[code], code, true);
  for (const code of [...codes].reverse()) rfb.sendKey(KEYSYMS[code], code, false);
}

/** Type a text as key presses; servers that know no clipboard know keys. */
export function typeText(rfb, text) {
  for (const character of text.replaceAll('\r\n', '\n').slice(0, LONGEST_TEXT)) {
    if (character === '\n') press(rfb, ['Enter']);
    else if (character === '\t') press(rfb, ['Tab']);
    else typeCharacter(rfb, character);
  }
}

function typeCharacter(rfb, character) {
  const point = character.codePointAt(0);
  // Latin-1 keysyms are their own code points, all others Unicode keysyms (X11 protocol, App. A)
  const keysym = point < 0x100 ? point : 0x0100_0000 + point;
  // a server that maps keysyms to keys (QEMU) wants to see Shift go down as on a keyboard
  const shift = SHIFTED.test(character);
  if (shift) rfb.sendKey(KEYSYMS.ShiftLeft, 'ShiftLeft', true);
  rfb.sendKey(keysym, null);
  if (shift) rfb.sendKey(KEYSYMS.ShiftLeft, 'ShiftLeft', false);
}
