/**
 * Connection: one console's way through websockets that come and go. Knows no element of the page
 * but the one that noVNC draws in.
 *
 * noVNC hides the close code, so the WebSocket is ours: our close listener is added before noVNC
 * gets the socket and therefore runs first, while the last picture is still on the canvas.
 */

import {closeEnding, OWN} from './endings.js';
import {askOutcome} from './outcome.js';
import {plain} from './link.js';

const RETRY_FOR = 30_000;          // ms: as long as the gateway keeps a session for its browser
const FIRST_DELAY = 400;
const LONGEST_DELAY = 6_000;
const ATTEMPT_DEADLINE = 30_000;
const STEADY_AFTER = 10_000;       // a connection that held this long earns a new RETRY_FOR

export class Connection {
  /**
   * @param {object} options
   * @param {Function} options.RFB noVNC's class
   * @param {HTMLElement} options.target where the screen goes
   * @param {object} options.link from link.js
   * @param {(state: string, code: string, ending: object) => void} options.onstate
   * @param {(rfb: object) => void} options.onrfb a new RFB object: set it up, listen to it
   * @param {() => void} options.onlosing the picture is about to go
   */
  constructor(options) {
    Object.assign(this, options);
    this.rfb = null;
    this.attempt = null;           // what belongs to the current socket; others are past
    this.timer = 0;
    this.state = '';
    this.forget();
  }

  /** Begin, or begin again because somebody asked for it. */
  open() {
    this.forget();
    this.say('connecting');
    this.connect();
  }

  /** End it because the viewer wants to. */
  leave() {
    this.drop();
    this.finish('ended', 'left', OWN.left);
  }

  forget() {
    clearTimeout(this.timer);
    this.brokenAt = null;
    this.connectedAt = null;
    this.tries = 0;
  }

  say(state, code = '', ending = {}) {
    this.state = state;
    this.onstate(state, code, ending);
  }

  connect() {
    const attempt = {opened: false, socket: null, deadline: 0};
    this.attempt = attempt;
    const {token, resumeKey} = this.link;
    const socket = new WebSocket(socketAddress(), [
      'binary', `consolekit.token.${token}`, `consolekit.resume.${resumeKey}`,
    ]);
    attempt.socket = socket;
    attempt.deadline = setTimeout(() => this.overdue(attempt), ATTEMPT_DEADLINE);
    socket.addEventListener('open', () => { attempt.opened = true; });
    socket.addEventListener('close', (event) => this.closed(attempt, event));
    this.draw(attempt, socket);
  }

  draw(attempt, socket) {
    const rfb = new this.RFB(this.target, socket, {shared: true});
    this.rfb = rfb;
    rfb.addEventListener('connect', () => this.connected(attempt));
    rfb.addEventListener('securityfailure',
      (event) => this.broken(attempt, 'unreadable', plain(event.detail.reason, 200)));
    rfb.addEventListener('credentialsrequired', () => this.broken(attempt, 'password_wanted'));
    // after our own close listener this is no news; before it, noVNC itself gave up
    rfb.addEventListener('disconnect', () => {
      if (this.rfb === rfb) this.rfb = null;   // it has closed its socket
      this.broken(attempt, 'unreadable');
    });
    this.onrfb(rfb);
  }

  connected(attempt) {
    if (attempt !== this.attempt) return;
    clearTimeout(attempt.deadline);
    this.connectedAt = performance.now();
    this.say('connected');
  }

  closed(attempt, event) {
    if (attempt !== this.attempt) return;
    this.onlosing();
    this.drop();
    if (!attempt.opened) {
      this.refused();
      return;
    }
    const ending = closeEnding(event.code);
    if (ending.retry) this.retry();
    else this.finish('ended', String(event.code), {...ending, said: plain(event.reason, 123)});
  }

  broken(attempt, code, said = '') {
    if (attempt !== this.attempt) return;
    this.onlosing();
    this.drop();
    this.finish('ended', code, {...OWN[code], said});
  }

  overdue(attempt) {
    if (attempt !== this.attempt) return;
    this.drop();
    if (attempt.opened) this.retry();
    else this.refused();
  }

  /** Let the current socket go; whatever it still says is not heard. */
  drop() {
    const {attempt, rfb} = this;
    this.attempt = null;
    this.rfb = null;
    if (attempt) clearTimeout(attempt.deadline);
    rfb?.disconnect();
  }

  /** The socket never opened: find out why. */
  async refused() {
    const asked = {};
    this.attempt = asked;   // a later open() or leave() makes this answer stale
    const answer = await askOutcome(this.link);
    if (this.attempt !== asked) return;
    this.attempt = null;
    if (answer.retry && this.state === 'reconnecting') this.retry(answer);
    else this.finish('refused', answer.code, answer);
  }

  /** Try again by ourselves, for a while, more and more seldom. */
  retry(why = null) {
    const now = performance.now();
    const steady = this.connectedAt !== null && now - this.connectedAt > STEADY_AFTER;
    if (this.brokenAt === null || steady) {
      this.brokenAt = now;
      this.tries = 0;
    }
    this.connectedAt = null;
    const delay = Math.min(FIRST_DELAY * 2 ** this.tries, LONGEST_DELAY) * (1 + Math.random() / 3);
    if (now + delay - this.brokenAt > RETRY_FOR) {
      if (why) this.finish('refused', why.code, why);
      else this.finish('ended', 'gave_up', OWN.gave_up);
      return;
    }
    this.tries += 1;
    this.say('reconnecting');
    this.timer = setTimeout(() => this.connect(), delay);
  }

  finish(state, code, ending) {
    this.forget();
    this.say(state, code, ending);
  }
}

/** `<base>/console/` asks `<base>/ws`, whatever the base is. */
function socketAddress() {
  const address = new URL('../ws', location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  address.hash = '';
  address.search = '';
  return address;
}
