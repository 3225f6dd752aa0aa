/**
 * Panels: the three drawers of the toolbar. Knows elements and focus, nothing of consoles.
 */

export class Panels {
  /**
   * @param {string[]} names ids of panels; `open-<id>` is the button of each
   */
  constructor(names) {
    this.pairs = names.map((name) => ({
      panel: document.getElementById(name),
      button: document.getElementById(`open-${name}`),
    }));
    for (const pair of this.pairs) {
      pair.button.addEventListener('click', (event) => this.toggle(pair, event.detail === 0));
      pair.panel.addEventListener('keydown', (event) => this.escape(event, pair));
    }
  }

  toggle(pair, byKeyboard) {
    const opening = pair.panel.hidden;
    this.close();
    if (!opening) return;
    pair.panel.hidden = false;
    pair.button.setAttribute('aria-expanded', 'true');
    document.body.dataset.panel = pair.panel.id;
    // a mouse or a finger leaves the focus (and a phone its keyboard) where it is
    const first = byKeyboard ? 'textarea, input:checked, button' : 'textarea';
    pair.panel.querySelector(first)?.focus({preventScroll: true});
  }

  /** Close whatever is open. */
  close() {
    for (const {panel, button} of this.pairs) {
      panel.hidden = true;
      button.setAttribute('aria-expanded', 'false');
    }
    delete document.body.dataset.panel;
  }

  escape(event, pair) {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    this.close();
    pair.button.focus();
  }
}
