/**
 * Main: joins the link, the connection and the page. The only module that knows them all.
 *
 * `<body data-state data-code>` is the state in two words, for styles and for tests.
 */

import {takeLink, plain} from './link.js';
import {OWN} from './endings.js';
import {Connection} from './connection.js';
import {Panels} from './panels.js';
import {Picture} from './picture.js';
import {Typing} from './typing.js';
import {fillKeys} from './keypad.js';
import {Clipboard} from './clipboard.js';

const element = (id) => document.getElementById(id);
const WORDS = {connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting',
               ended: 'Ended', refused: 'Refused', missing: 'Not installed'};
const PROGRESS = {
  connecting: {title: 'Connecting', text: 'Opening the console…'},
  reconnecting: {title: 'The connection broke', text: 'Making it again…'},
};

const link = takeLink();
addEventListener('hashchange', () => {
  // a new link was opened in this tab; the page starts anew, with nothing of the old console
  takeLink();
  location.reload();
});

let connection = null;
let retryLoad = null;
const rfb = () => (connection?.state === 'connected' ? connection.rfb : null);
const backToScreen = () => rfb()?.focus({preventScroll: true});
const panels = new Panels(['keys', 'clipboard', 'view']);
const picture = new Picture(rfb);
const typing = new Typing(element('typing'), rfb);
const clipboard = new Clipboard(rfb);
const keypad = fillKeys(rfb, () => { panels.close(); backToScreen(); });

function show(state, code = '', ending = {}) {
  const body = document.body;
  body.dataset.state = state;
  body.dataset.code = code;
  element('state-word').textContent = WORDS[state];
  const words = PROGRESS[state] ?? ending;
  element('card-title').textContent = words.title ?? '';
  element('card-text').textContent = [words.text, ending.said && `The gateway says: ${ending.said}`]
    .filter(Boolean).join(' ');
  element('card-cure').textContent = ending.cure ?? '';
  element('card-cure').hidden = !ending.cure;
  element('card-code').textContent = code ? `Code ${code}` : '';
  element('again').hidden = !ending.again;
  element('again').textContent = ending.button
    ?? (state === 'refused' ? 'Try again' : 'Reconnect');
  for (const tool of document.querySelectorAll('.tool:not(#toggle-fullscreen)')) {
    tool.disabled = state !== 'connected' && tool.id !== 'disconnect';
  }
  element('disconnect').disabled = !['connecting', 'connected', 'reconnecting'].includes(state);
  // the last picture bridges a short break; a session that is over shows nothing any more
  if (state !== 'reconnecting') picture.forgetGhost();
  if (state === 'connected') {
    backToScreen();
    return;
  }
  keypad.release();
  panels.close();
  if (ending.again) element('again').focus({preventScroll: true});
}

function setUp(fresh) {
  picture.dress(fresh);
  fresh.viewOnly = link.viewOnly;   // the gateway drops input anyway; this spares sending it
  fresh.addEventListener('desktopname', (event) => {
    const name = plain(event.detail.name);
    element('desktop').textContent = link.server === name ? '' : name;
    if (!link.server) nameIt(name);
  });
  fresh.addEventListener('clipboard', (event) => clipboard.arrived(event.detail.text));
}

function nameIt(name) {
  document.title = name ? `${name} – Console` : 'Console';
  if (link?.server) {
    element('server').textContent = link.server;
    element('server').title = link.pair;
  }
}

async function load() {
  if (!link) {
    show('refused', 'no_link', OWN.no_link);
    return;
  }
  nameIt(link.server);
  if (/^(spice|serial)\//.test(link.pair)) {
    show('refused', 'no_viewer', OWN.no_viewer);
    return;
  }
  document.body.dataset.mode = link.viewOnly ? 'view' : 'interact';
  let RFB;
  try {
    ({default: RFB} = await import('../novnc/core/rfb.js'));
  } catch {
    const code = await whyNoViewer();
    retryLoad = () => location.reload();   // a failed import is remembered until then
    show('missing', code, OWN[code]);
    return;
  }
  connection = new Connection({RFB, link, target: element('screen'), onstate: show, onrfb: setUp,
                               onlosing: () => picture.keepGhost()});
  connection.open();
}

async function whyNoViewer() {
  try {
    const response = await fetch('novnc/core/rfb.js', {cache: 'no-store'});
    return response.status === 404 ? 'novnc_missing' : 'novnc_unloadable';
  } catch {
    return 'novnc_unloadable';
  }
}

element('again').addEventListener('click', () => (retryLoad ?? (() => connection.open()))());
element('disconnect').addEventListener('click', () => connection?.leave());
element('send-cad').addEventListener('click', () => keypad.send(['ControlLeft', 'AltLeft',
                                                                 'Delete']));
element('toggle-typing').addEventListener('click', () => typing.toggle(element('toggle-typing')));
element('screen').addEventListener('pointerdown', () => panels.close());
// a click on a key button must not take the focus, or a phone folds its keyboard away
for (const id of ['keys', 'tools']) {
  element(id).addEventListener('mousedown', (event) => event.preventDefault());
}
// the screen takes every key, Tab too; this is the way out of it
addEventListener('keydown', (event) => {
  if (event.code === 'KeyM' && event.ctrlKey && event.altKey && event.shiftKey) {
    event.preventDefault();
    event.stopImmediatePropagation();
    picture.showBar();
    [...document.querySelectorAll('.tool')].find((tool) => tool.offsetParent)?.focus();
  } else if (event.key === 'Escape' && element('tools').contains(event.target)) {
    panels.close();
    backToScreen();
  }
}, {capture: true});

load();
