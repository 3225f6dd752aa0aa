"""Example: a provider for a hypervisor of your own, in one file.

"Acme" has an inventory (here a JSON file) that says on which host a machine runs, and a console port there
that wants a password line before it speaks RFB without any further security.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from consolekit import (
    CLIENT,
    SERVER,
    ConsoleKey,
    ConsoleProvider,
    ConsoleRequest,
    Endpoint,
    Script,
    Secret,
    Shared,
    read,
    send,
)
from consolekit.core.errors import (
    AuthenticationRejected,
    ConsoleUnavailable,
    ServerPoweredOff,
    UnknownServer,
)


# [provider]
class AcmeProvider(ConsoleProvider):
    """Consoles of Acme machines, for the ordinary viewer."""

    api_version = 1
    keys = (ConsoleKey("vnc", "novnc"),)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "inventory": {"type": "string", "format": "path", "description": "Acme's list of machines."},
            "password": {"type": "string", "minLength": 1},
        },
        "required": ["inventory", "password"],
        "additionalProperties": False,
    }

    def __init__(self, *, inventory: Path, password: Secret) -> None:
        self._inventory, self._password = inventory, password

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        """Build from the operator's table; relative paths in it are absolute by now."""
        return cls(inventory=Path(config["inventory"]), password=Secret(config["password"]))

    async def check(self, request: ConsoleRequest) -> None:
        """Say early that there is nothing to show."""
        await self._machine(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        """Say where the console is now; the machine may have moved since the link was made."""
        machine = await self._machine(request.server_id)
        return Endpoint(host=machine["host"], port=machine["port"], secret=self._password)

    def handshake(self, endpoint: Endpoint) -> Script:
        """Log in before the viewer sees the console."""
        return acme_script(endpoint.secret or Secret(""))

    async def _machine(self, server_id: str) -> Mapping[str, Any]:
        try:
            text = await asyncio.to_thread(self._inventory.read_text, "utf-8")
        except OSError as exc:
            raise ConsoleUnavailable(f"the inventory cannot be read: {exc.strerror}") from exc
        machine: Mapping[str, Any] | None = json.loads(text).get(server_id)
        if machine is None:
            raise UnknownServer("not in Acme's inventory")
        if not machine["running"]:
            raise ServerPoweredOff(f"machine {server_id} is powered off")
        return machine


# [script]
def acme_script(password: Secret) -> Script:
    """``PASS <password>``, one byte of answer, then RFB 3.8 with security None, as a viewer expects it."""
    yield from send(SERVER, b"PASS " + password.reveal().encode() + b"\n")
    answer = yield from read(SERVER, 1)
    if answer != b"+":
        raise AuthenticationRejected("acme refused the password")
    # Up to here a refusal is an HTTP status. The first step with CLIENT is the moment of the 101.
    banner = yield from read(SERVER, 12)
    yield from send(CLIENT, banner)


# [end]
