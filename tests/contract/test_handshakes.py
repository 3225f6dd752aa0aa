"""Every script of ours keeps the contract that ``check_handshake`` offers to provider authors."""

from __future__ import annotations

import pytest
import transcripts as t

from consolekit.providers.vnc.rfb import log_in, vnc_script, welcome_viewer
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
