/**
 * The link: what this tab may open. Knows the address bar and the tab's storage, nothing else.
 *
 * The token arrives in the URL fragment, which no browser sends to any server. It is taken out of
 * the address bar and of the tab's history at once, and kept in sessionStorage with a resume key
 * of our own making, so that a reload is the same viewer to the gateway. Each history entry
 * remembers which link it showed, so that Back returns to its own console. The list of visited
 * pages that a browser keeps for itself is beyond a page's reach; by then the token there is used.
 */

const PREFIX = 'consolekit.link.';
const LATEST = 'consolekit.latest';
// Both travel as a Sec-WebSocket-Protocol element: RFC 9110 section 5.6.2, token characters.
const SENDABLE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,4096}$/;
// C0, C1 and the marks that turn the direction of text: a name must not rearrange the page.
const UNSEEMLY = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const RESUME_KEY_BYTES = 32;

const memory = new Map();   // where the browser forbids storage, a link lives as long as the page

/** Text from outside, made fit to show: one line, no control characters, a bounded length. */
export function plain(text, limit = 80) {
  const line = String(text ?? '').replace(UNSEEMLY, ' ').trim();
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

/**
 * Take the link out of the address bar, or find the one this history entry had.
 *
 * @returns {{token: string, resumeKey: string, server: string, pair: string, viewOnly: boolean}|null}
 */
export function takeLink() {
  const fresh = readFragment(location.hash);
  const id = fresh ? remember(fresh) : (history.state?.consolekitLink ?? recall(LATEST));
  history.replaceState({consolekitLink: id}, '', location.pathname + location.search);
  return id ? recall(PREFIX + id) : null;
}

function readFragment(hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const token = fields.get('token');
  if (!token || !SENDABLE.test(token)) return null;
  const pair = ['protocol', 'type'].map((name) => plain(fields.get(name), 40)).filter(Boolean);
  return {token, server: plain(fields.get('server')), pair: pair.join('/'),
          viewOnly: fields.get('mode') === 'view'};
}

function remember(link) {
  const known = recall(LATEST);
  const same = known && recall(PREFIX + known)?.token === link.token;   // the same link once more
  const id = same ? known : randomText(9);
  const resumeKey = same ? recall(PREFIX + id).resumeKey : randomText(RESUME_KEY_BYTES);
  keep(PREFIX + id, {...link, resumeKey});
  keep(LATEST, id);
  return id;
}

function keep(name, value) {
  memory.set(name, value);
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // storage is forbidden or full: a reload will need a new link
  }
}

function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/** Random bytes as unpadded base64url (RFC 4648 section 5); 32 bytes make 43 characters. */
function randomText(count) {
  const bytes = crypto.getRandomValues(new Uint8Array(count));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
