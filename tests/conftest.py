"""Test support for every test: unit tests touch no network, and Hypothesis knows its profiles."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_UNIT = Path(__file__).parent / "unit"
_NETWORK = ("bind", "connect", "connect_ex", "listen", "sendto")

# No deadline: how fast a machine is says nothing about the code. CONSOLEKIT_HYPOTHESIS=deep for long runs.
settings.register_profile("fast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("fast"), max_examples=2000)
settings.load_profile(os.environ.get("CONSOLEKIT_HYPOTHESIS", "fast"))


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that opens a socket is an integration test in the wrong folder."""
    if not request.path.is_relative_to(_UNIT):
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a unit test uses the network; it belongs into tests/integration")

    for name in _NETWORK:
        monkeypatch.setattr(socket.socket, name, refuse)
