/**
 * Typing: the keyboard of a phone. Knows one hidden text area and what sends keys.
 *
 * Soft keyboards tell a page what the text has become rather than which key was pressed, so the
 * area is kept filled with padding and every change of it is turned into keys: what vanished is
 * backspaces, what appeared is typed.
 */

import {KEYSYMS, press, typeText} from './keys.js';

const PADDING = '_'.repeat(64);
const SPECIAL = new Set(['Enter', 'Tab', 'Escape', 'Delete', 'Home', 'End', 'PageUp', 'PageDown',
                         'ArrowLeft', 'ArrowUp', 'ArrowRight', 'ArrowDown']);

export class Typing {
  /**
   * @param {HTMLTextAreaElement} area
   * @param {() => object|null} rfb the live RFB object, if any
   */
  constructor(area, rfb) {
    this.area = area;
    this.rfb = rfb;
    this.before = PADDING;
    area.addEventListener('keydown', (event) => this.special(event));
    area.addEventListener('input', (event) => this.changed(event.isComposing));
    area.addEventListener('compositionend', () => this.changed(false));
    area.addEventListener('focus', () => this.refill());
  }

  /** Call the soft keyboard, or send it away; `button` shows which. */
  toggle(button) {
    const showing = document.activeElement === this.area;
    if (showing) this.area.blur();
    else this.area.focus({preventScroll: true});
    button.setAttribute('aria-pressed', String(!showing));
    this.area.addEventListener('blur', () => button.setAttribute('aria-pressed', 'false'),
                               {once: true});
  }

  special(event) {
    if (event.isComposing || !SPECIAL.has(event.key) || !(event.key in KEYSYMS)) return;
    event.preventDefault();
    if (this.rfb()) press(this.rfb(), [event.key]);
  }

  changed(composing) {
    const now = this.area.value;
    const kept = commonStart(this.before, now);
    const gone = [...this.before.slice(kept)].length;
    const come = now.slice(kept);
    this.before = now;
    const rfb = this.rfb();
    if (rfb) {
      for (let count = 0; count < gone; count += 1) press(rfb, ['Backspace']);
      typeText(rfb, come);
    }
    if (!composing) this.refill();
  }

  refill() {
    this.area.value = PADDING;
    this.before = PADDING;
    this.area.setSelectionRange(PADDING.length, PADDING.length);
  }
}

function commonStart(left, right) {
  let index = 0;
  while (index < left.length && left[index] === right[index]) index += 1;
  return index;
}
