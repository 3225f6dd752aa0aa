"""Example: how a provider's author tests it, with what consolekit ships for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from consolekit_acme import AcmeProvider, acme_script

from consolekit import CLIENT, SERVER, ConsoleKey, ConsoleRequest, Secret, Shared
from consolekit.core.errors import AuthenticationRejected, ServerPoweredOff, UnknownServer
from consolekit.core.handshake import Send
from consolekit.testing.handshakes import Arrives, check_handshake, check_refusal

REQUEST = ConsoleRequest(key=ConsoleKey("vnc", "novnc"), server_id="web-1", subject="alice")


@pytest.fixture
def provider(tmp_path: Path) -> AcmeProvider:
    inventory = tmp_path / "machines.json"
    machines = {
        "web-1": {"host": "10.0.0.5", "port": 7000, "running": True},
        "db-1": {"host": "10.0.0.6", "port": 7000, "running": False},
    }
    inventory.write_text(json.dumps(machines))
    return AcmeProvider.from_config({"inventory": str(inventory), "password": "sesame"}, shared=Shared())


async def test_it_says_where_the_console_is(provider: AcmeProvider) -> None:
    await provider.check(REQUEST)
    endpoint = await provider.open(REQUEST)
    assert endpoint.address == "10.0.0.5:7000"


@pytest.mark.parametrize(("server_id", "error"), [("db-1", ServerPoweredOff), ("nobody", UnknownServer)])
async def test_it_refuses_early(provider: AcmeProvider, server_id: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await provider.check(ConsoleRequest(key=REQUEST.key, server_id=server_id, subject="alice"))


# [handshake]
def test_the_handshake_stands_every_delivery() -> None:
    check_handshake(
        lambda: acme_script(Secret("sesame")),
        [
            Send(SERVER, b"PASS sesame\n"),
            Arrives(SERVER, b"+"),
            Arrives(SERVER, b"RFB 003.008\n"),
            Send(CLIENT, b"RFB 003.008\n"),
        ],
    )


def test_a_wrong_password_is_said() -> None:
    check_refusal(
        lambda: acme_script(Secret("wrong")),
        [Send(SERVER, b"PASS wrong\n"), Arrives(SERVER, b"-")],
        AuthenticationRejected,
    )
