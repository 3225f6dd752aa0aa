/**
 * Clipboard: the panel between the viewer's clipboard and the server's. Nothing is read from or
 * written to the viewer's own clipboard unless a button is pressed.
 */

import {typeText} from './keys.js';

const LONGEST_SHOWN = 1_000_000;   // a hostile server must not fill the page

export class Clipboard {
  /** @param {() => object|null} rfb the live RFB object, if any */
  constructor(rfb) {
    this.rfb = rfb;
    this.text = document.getElementById('clipboard-text');
    this.hint = document.getElementById('clipboard-hint');
    const on = (id, action) => document.getElementById(id).addEventListener('click', action);
    on('clipboard-send', () => this.send());
    on('clipboard-type', () => this.type());
    on('clipboard-copy', () => this.copy());
    document.getElementById('clipboard-copy').hidden = !navigator.clipboard;
  }

  /** The server copied something. */
  arrived(text) {
    this.text.value = text.slice(0, LONGEST_SHOWN);
    this.say('The server copied this.');
  }

  send() {
    if (!this.rfb()) return;
    this.rfb().clipboardPasteFrom(this.text.value);
    this.say('Sent. Paste it there as you would on that machine.');
  }

  type() {
    if (!this.rfb()) return;
    typeText(this.rfb(), this.text.value);
    this.say('Typed.');
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.text.value);
      this.say('Copied to this device.');
    } catch {
      this.text.select();
      this.say('The browser did not allow it: the text is selected, copy it from here.');
    }
  }

  say(words) { this.hint.textContent = words; }
}
