"""Our own providers keep the contract that third parties test theirs with; each of its checks can fail.

Those that ask a vCenter are in ``tests/integration/providers``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import transcripts as t
import wrongcalls
import wrongforms
from lightsout import CHECKS, LightsContract

from consolekit import ConsoleProvider, Shared, Target
from consolekit.providers.stream.provider import SerialProvider, SpiceProvider
from consolekit.providers.vnc.provider import VncProvider
from consolekit.testing import ProviderContract


class TestLightsOut(LightsContract):
    """The right one, from which the wrong ones differ in one thing each."""


class TableContract(ProviderContract):
    """Servers from the operator's table: nobody is asked."""

    made: ClassVar[type[ConsoleProvider]]
    asks_nobody: ClassVar = True
    other_server_id = "web-2"
    targets: ClassVar = (Target(host="192.0.2.7", port=5903),)
    servers: ClassVar[dict[str, Any]] = {
        "web-1": {"address": "192.0.2.1:5900"},
        "web-2": {"address": "unix:/run/web-2.sock"},
    }
    wrong_config: ClassVar = (
        ({"servers": 1}, "servers"),
        ({"servers": {"web-1": {}}}, "servers.web-1.address"),
        ({"servers": {"web-1": {"address": "192.0.2.1"}}}, "servers.web-1"),
        ({"servers": {}, "adopt": {"allowed_networks": ["192.0.2.1/24"]}}, "adopt.allowed_networks"),
        (
            {"servers": {"web-1": {"address": "a:1", "tls": {"pin_sha256": "ab"}}}},
            "servers.web-1.tls.pin_sha256",
        ),
    )

    def config(self) -> dict[str, Any]:
        return {"servers": self.servers, "adopt": {}}

    async def make_provider(self) -> ConsoleProvider:
        return self.made.from_config(self.config(), shared=Shared())


class TestSerial(TableContract):
    made: ClassVar = SerialProvider


class TestSpice(TableContract):
    made: ClassVar = SpiceProvider


class TestVnc(TableContract):
    made: ClassVar = VncProvider
    secrets: ClassVar = (t.PASSWORD,)
    viewer_says: ClassVar = t.VIEWER_SAYS

    @pytest.fixture(autouse=True)
    def _password_file(self, tmp_path):
        self.file = tmp_path / "password"
        self.file.write_text(t.PASSWORD + "\n")
        self.file.chmod(0o600)

    def config(self):
        """Its ``web-1`` has a password and its ``web-2`` the same from a file."""
        one, two = self.servers["web-1"], self.servers["web-2"]
        return {
            "servers": {
                "web-1": {**one, "password": t.PASSWORD},
                "web-2": {**two, "password_file": str(self.file)},
            },
            "adopt": {"password": t.PASSWORD},
        }

    def transcripts(self, endpoint):
        return [[*events, *t.viewer()] for policy, events in t.LOGINS.values() if policy == t.WITH_PASSWORD]


def test_every_check_is_failed_by_somebody() -> None:
    assert set(CHECKS) == set.union(*wrongforms.WRONG.values(), *wrongcalls.WRONG.values())
