"""Every script of ours keeps the contract that ``check_handshake`` offers to provider authors."""

from __future__ import annotations

import authdtalk as a
import pytest
import transcripts as t

from consolekit.core.handshake import SERVER, Script, read
from consolekit.providers.rfbviewer import welcome_viewer
from consolekit.providers.vnc.rfb import log_in, vnc_script
from consolekit.providers.webmks.authd import authd_script
from consolekit.testing.handshakes import check_handshake


@pytest.mark.parametrize("name", t.LOGINS)
def test_login_and_viewer(name: str) -> None:
    policy, events = t.LOGINS[name]
    check_handshake(lambda: vnc_script(policy), [*events, *t.viewer()])


@pytest.mark.parametrize("name", t.LOGINS)
def test_login_alone(name: str) -> None:
    policy, events = t.LOGINS[name]
    check_handshake(lambda: log_in(policy), events)


@pytest.mark.parametrize("minor", [3, 7, 8])
def test_viewer_alone(minor: int) -> None:
    check_handshake(welcome_viewer, t.viewer(minor))


def test_authd_where_the_screen_begins_with_rfb() -> None:
    screen = [*a.greeting(), *a.viewer(), t.hears(b"\x01")]
    check_handshake(lambda: authd_script(a.LOGIN), [*a.until_screen(a.SHA1), *screen])


def _authd_and_the_peeked() -> Script:
    """The script, and what it has looked at without taking it."""
    yield from authd_script(a.LOGIN)
    yield from read(SERVER, 4)


def test_authd_where_the_screen_begins_with_server_init() -> None:
    check_handshake(_authd_and_the_peeked, [*a.until_screen(), t.says(a.SERVER_INIT[:4]), *a.viewer()])
