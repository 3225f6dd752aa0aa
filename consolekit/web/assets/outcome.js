/**
 * Outcome: why the gateway did not open the websocket. Knows fetch, nothing of the page.
 *
 * Scripts cannot read the HTTP answer to a refused websocket, so the gateway is asked once more,
 * in a way that scripts can read. The token travels in a header: not in an address, not in a log.
 */

import {plain} from './link.js';
import {OWN} from './endings.js';

/**
 * @returns {Promise<{code: string, title: string, text: string, again: boolean, retry: boolean}>}
 *   `retry` says that the same link may work in a moment; `again`, that it may when somebody did
 *   something about it.
 */
export async function askOutcome(link, address = 'outcome') {
  let response;
  try {
    response = await fetch(address, {
      headers: {'Authorization': `Bearer ${link.token}`, 'Consolekit-Resume': link.resumeKey},
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch {
    return {code: 'unreachable', ...OWN.unreachable, retry: true};
  }
  if (response.status === 401) return {code: 'token_refused', ...OWN.token_refused};
  const said = await response.json().catch(() => null);
  if (!said?.title) {
    return {code: 'unexplained', ...OWN.unexplained, retry: response.status >= 500};
  }
  const may = response.ok ? Boolean(said.resumable) : response.status >= 500;
  return {
    code: plain(said.code, 60) || 'unexplained',
    title: plain(said.title, 160),
    text: plain(said.detail, 300),
    again: may,
    retry: response.ok ? Boolean(said.retry) : may,
  };
}
