"""A provider without a handshake: bytes are relayed from the first one, as the peers do it.

Installed for the proxy under test by being on its path; ``consolekit_bench-1.dist-info`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from consolekit.core.errors import UnknownServer
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint


class BenchProvider(ConsoleProvider):
    """Knows one server, ``raw``."""

    keys: ClassVar[tuple[ConsoleKey, ...]] = (ConsoleKey("vnc", "novnc"),)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["port"],
        "properties": {"port": {"type": "integer"}},
    }

    def __init__(self, port: int) -> None:
        self._endpoint = Endpoint(host="127.0.0.1", port=port)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        return cls(config["port"])

    async def check(self, request: ConsoleRequest) -> None:
        if request.server_id != "raw":
            raise UnknownServer(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        await self.check(request)
        return self._endpoint
