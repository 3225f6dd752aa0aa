/**
 * Endings: what a close code or a refusal means to the person who looks. Words only.
 *
 * `retry`: try again without asking. `again`: offer a button that tries again.
 */

const NEW_LINK = 'Ask for a new console link where you got this one.';

/** By WebSocket close code: RFC 6455 section 7.4.1, and the gateway's own from 4000 on. */
export const CLOSE_CODES = {
  1000: {title: 'The console has ended', text: 'The server closed it.', again: true},
  1001: {title: 'The gateway is restarting', text: '', retry: true},
  1002: {title: 'The connection was misused',
         text: 'The gateway saw something that is not websocket traffic. A proxy in between may '
             + `have changed it. ${NEW_LINK}`},
  1003: {title: 'The connection was misused',
         text: `The gateway takes binary messages only. ${NEW_LINK}`},
  1005: {title: 'The console has ended', text: 'It was closed without a reason.', again: true},
  1006: {title: 'The connection broke', text: '', retry: true},
  1007: {title: 'The connection was misused',
         text: `The gateway got data that makes no sense. ${NEW_LINK}`},
  1009: {title: 'A message was too big', text: 'More was sent at once than the gateway allows, '
             + `perhaps from the clipboard. ${NEW_LINK}`},
  1011: {title: 'The gateway had a failure', text: '', retry: true},
  1012: {title: 'The gateway is restarting', text: '', retry: true},
  1013: {title: 'The gateway is busy', text: '', retry: true},
  4000: {title: 'An operator ended this session',
         text: `Your access was withdrawn, or the session was closed for you. ${NEW_LINK}`},
  4001: {title: 'The session’s time is over',
         text: `Sessions here last a limited time. ${NEW_LINK}`},
  4002: {title: 'Closed after a long pause',
         text: `Nothing was typed or clicked for longer than this site allows. ${NEW_LINK}`},
  4003: {title: 'The connection was too slow',
         text: 'Your browser did not take the picture for too long: the tab was asleep, or the '
             + 'network is slow.', again: true},
  4004: {title: 'The server went away', text: '', retry: true},
  4005: {title: 'Opened somewhere else',
         text: 'The same console was opened again by this browser, perhaps in another tab.'},
  4006: {title: 'The server’s console did not start',
         text: 'It answered, and then did not behave as a console should.', again: true},
  4007: {title: 'The server broke the connection’s rules',
         text: 'It sent something that is not websocket traffic.', again: true},
  4008: {title: 'The server may have moved', text: '', retry: true},
  4010: {title: 'The server let go of this viewer',
         text: 'It has one viewer at a time: another may have this console now, whose connection '
             + 'yours would end. Or the machine has stopped.', again: true},
  4009: {title: 'The viewer did what this console does not allow',
         text: `The link is for looking only, and the viewer sent more than that. ${NEW_LINK}`},
};

const UNKNOWN_CLOSE = {title: 'The console was closed', text: 'The gateway gave no known reason.',
                       again: true};

/** What the page itself finds out, by the code it shows. */
export const OWN = {
  no_link: {title: 'This page needs a console link',
            text: 'The link that opens a console carries its permission; this address alone opens '
                + `nothing. ${NEW_LINK}`},
  token_refused: {title: 'This link is not valid any more',
                  text: `Console links are short-lived and work once. ${NEW_LINK}`},
  no_viewer: {title: 'This console has no viewer here',
              text: 'This page shows VNC and VMware consoles, and this is another kind.',
              cure: 'Whoever runs the gateway names the viewer’s directory with --web-root: '
                  + 'spice-html5 for SPICE consoles.'},
  unreachable: {title: 'The gateway cannot be reached',
                text: 'Check your network connection, then try again.', again: true},
  unexplained: {title: 'The console could not be opened',
                text: 'The gateway, or something in front of it, refused the connection and gave '
                    + 'no reason.', again: true},
  gave_up: {title: 'The connection broke',
            text: 'It could not be made again within 30 seconds.', again: true},
  left: {title: 'Disconnected', text: 'You closed this console.', again: true},
  unreadable: {title: 'The picture cannot be shown',
               text: 'The server sent something that is not a screen.', again: true},
  password_wanted: {title: 'The server asks for a password',
                    text: 'The gateway should have answered it. Tell the people who run it.'},
  novnc_missing: {title: 'The viewer is not installed',
                  text: 'The gateway works, but noVNC, which draws the screen, is missing from it.',
                  cure: 'Whoever runs the gateway finds out with “consolekit web status” what to '
                      + 'do: install it again where npm is available, or give --web-root a '
                      + 'directory that holds noVNC.', again: true, button: 'Look again'},
  novnc_unloadable: {title: 'The viewer did not load',
                     text: 'Part of this page could not be fetched.', again: true,
                     button: 'Load again'},
};

/** @returns {{title: string, text: string, retry?: boolean, again?: boolean, button?: string}} */
export function closeEnding(code) {
  return CLOSE_CODES[code] ?? UNKNOWN_CLOSE;
}
