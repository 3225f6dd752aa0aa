"""Test support for every test: unit tests touch no network, and Hypothesis has its profile."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import profiles
import pytest

_UNIT = Path(__file__).parent / "unit"
_NETWORK = ("bind", "connect", "connect_ex", "listen", "sendto")

profiles.load()


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that opens a socket is an integration test in the wrong folder."""
    if not request.path.is_relative_to(_UNIT):
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a unit test uses the network; it belongs into tests/integration")

    for name in _NETWORK:
        monkeypatch.setattr(socket.socket, name, refuse)
