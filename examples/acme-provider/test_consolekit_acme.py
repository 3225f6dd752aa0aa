"""Example: how a provider's author tests it, with what consolekit ships for that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from consolekit_acme import AcmeProvider, acme_script

from consolekit import CLIENT, SERVER, Endpoint, Secret, Shared
from consolekit.core.errors import AuthenticationRejected, ProviderError, ServerPoweredOff
from consolekit.core.handshake import Send
from consolekit.testing import Arrives, ProviderContract, check_refusal
from consolekit.testing.handshakes import Transcript

MACHINES = {
    "web-1": {"host": "10.0.0.5", "port": 7000, "running": True},
    "web-2": {"host": "10.0.0.7", "port": 7001, "running": True},
    "db-1": {"host": "10.0.0.6", "port": 7000, "running": False},
}


class TestContract(ProviderContract):
    asks_nobody = True  # the inventory is a file
    secrets = ("sesame",)
    other_server_id = "web-2"
    refusals: Mapping[str, type[ProviderError]] = {"db-1": ServerPoweredOff}
    wrong_config = (({"inventory": "machines.json"}, "password"),)

    @pytest.fixture(autouse=True)
    def _inventory(self, tmp_path: Path) -> None:
        self.file = tmp_path / "machines.json"
        self.file.write_text(json.dumps(MACHINES))

    def config(self) -> dict[str, str]:
        return {"inventory": str(self.file), "password": "sesame"}

    async def make_provider(self) -> AcmeProvider:
        return AcmeProvider.from_config(self.config(), shared=Shared())

    # [transcript]
    def transcripts(self, endpoint: Endpoint) -> list[Transcript]:
        return [
            [
                Send(SERVER, b"PASS sesame\n"),
                Arrives(SERVER, b"+"),
                Arrives(SERVER, b"RFB 003.008\n"),
                Send(CLIENT, b"RFB 003.008\n"),
            ]
        ]

    # [refusal]


def test_a_wrong_password_is_said() -> None:
    check_refusal(
        lambda: acme_script(Secret("wrong")),
        [Send(SERVER, b"PASS wrong\n"), Arrives(SERVER, b"-")],
        AuthenticationRejected,
    )
