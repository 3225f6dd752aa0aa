/**
 * Picture: how the screen is shown: its size, full screen, and what stays when it is gone.
 */

const REMEMBERED = 'consolekit.scaling';
const HIDE_AFTER = 2_500;
const EDGE = 6;   // px from the top at which a pointer calls for the bar

export class Picture {
  /** @param {() => object|null} rfb the live RFB object, if any */
  constructor(rfb) {
    this.rfb = rfb;
    this.screen = document.getElementById('screen');
    this.ghost = document.getElementById('ghost');
    this.bar = document.getElementById('bar');
    this.drag = document.getElementById('drag');
    this.full = document.getElementById('toggle-fullscreen');
    this.timer = 0;
    this.wireScaling();
    this.wireFullscreen();
  }

  wireScaling() {
    const wanted = recall();
    for (const choice of document.getElementsByName('scaling')) {
      if (choice.value === wanted) choice.checked = true;
      choice.addEventListener('change', () => {
        remember(choice.value);
        if (this.rfb()) this.scale(this.rfb());
      });
    }
    this.drag.addEventListener('change', () => {
      if (this.rfb()) this.rfb().dragViewport = this.drag.checked;
    });
  }

  /** Give a new RFB object our looks. */
  dress(fresh) {
    fresh.background = 'transparent';
    fresh.addEventListener('clippingviewport', (event) => {
      document.getElementById('drag-row').hidden = !event.detail;
      fresh.dragViewport = event.detail && this.drag.checked;
    });
    this.scale(fresh);
  }

  scale(rfb) {
    const mode = document.querySelector('input[name=scaling]:checked').value;
    // fingers cannot reach scroll bars: there the view is clipped, and can be dragged
    rfb.clipViewport = mode === 'actual' && matchMedia('(pointer: coarse)').matches;
    rfb.scaleViewport = mode !== 'actual';   // also when a server cannot be resized
    rfb.resizeSession = mode === 'remote';
  }

  /** Keep the last picture, so that a short break does not leave a hole. */
  keepGhost() {
    const canvas = this.screen.querySelector('canvas');
    if (!canvas?.width || !canvas.height) return;
    const box = canvas.getBoundingClientRect();
    const stage = this.ghost.parentElement.getBoundingClientRect();
    this.ghost.width = canvas.width;
    this.ghost.height = canvas.height;
    this.ghost.getContext('2d').drawImage(canvas, 0, 0);
    const px = (value) => `${value}px`;
    Object.assign(this.ghost.style, {left: px(box.left - stage.left), top: px(box.top - stage.top),
                                     width: px(box.width), height: px(box.height)});
    this.ghost.hidden = false;
  }

  /** The live picture is back. */
  forgetGhost() {
    this.ghost.hidden = true;
    this.ghost.width = 0;
  }

  wireFullscreen() {
    this.full.hidden = !document.fullscreenEnabled;
    this.full.addEventListener('click', () => this.toggleFullscreen());
    document.addEventListener('fullscreenchange', () => this.fullscreenChanged());
    document.getElementById('handle').addEventListener('click', () => this.showBar());
    document.addEventListener('pointermove', (event) => {
      if (event.pointerType === 'mouse' && event.clientY < EDGE) this.showBar();
    });
    this.bar.addEventListener('pointerleave', () => this.hideBarSoon());
    this.bar.addEventListener('focusout', () => this.hideBarSoon());
  }

  async toggleFullscreen() {
    if (document.fullscreenElement) {
      await document.exitFullscreen();
      return;
    }
    await document.documentElement.requestFullscreen({navigationUI: 'hide'});
    // where the browser can, Alt-Tab, Super and Esc go to the server; holding Esc leaves
    await navigator.keyboard?.lock?.().catch(() => {});
  }

  fullscreenChanged() {
    const on = Boolean(document.fullscreenElement);
    this.full.setAttribute('aria-pressed', String(on));
    this.full.title = on ? 'Leave full screen' : 'Full screen';
    document.body.classList.toggle('full', on);
    if (on) this.showBar();
    else navigator.keyboard?.unlock?.();
    this.rfb()?.focus({preventScroll: true});
  }

  /** Show the bar; where it hides itself, it does so again when it is left alone. */
  showBar() {
    document.body.classList.add('bar-shown');
    this.hideBarSoon();
  }

  hideBarSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const used = this.bar.matches(':hover') || this.bar.contains(document.activeElement)
        || 'panel' in document.body.dataset;
      if (used) this.hideBarSoon();
      else document.body.classList.remove('bar-shown');
    }, HIDE_AFTER);
  }
}

function recall() {
  try {
    return localStorage.getItem(REMEMBERED) ?? 'fit';
  } catch {
    return 'fit';
  }
}

function remember(mode) {
  try {
    localStorage.setItem(REMEMBERED, mode);
  } catch {
    // forbidden storage: the choice lasts as long as the page
  }
}
