"""A provider without a handshake of RFB: bytes are relayed from the first one, as the peers do it.

Installed for the proxy under test by being on its path; ``consolekit_bench-1.dist-info`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import attrs

from consolekit.core.errors import UnknownServer
from consolekit.core.provider import ConsoleProvider
from consolekit.core.shared import Shared
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, TlsPolicy, Transport

_PORT = {"type": "integer"}


class BenchProvider(ConsoleProvider):
    """Knows three servers: ``raw`` is a byte stream, ``websocket`` speaks websocket, ``secure`` with TLS."""

    keys: ClassVar[tuple[ConsoleKey, ...]] = (ConsoleKey("vnc", "novnc"),)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["raw", "websocket", "secure", "ca"],
        "properties": {"raw": _PORT, "websocket": _PORT, "secure": _PORT, "ca": {"type": "string"}},
    }

    def __init__(self, ports: Mapping[str, int], ca: Path) -> None:
        raw = Endpoint(host="127.0.0.1", port=ports["raw"])
        websocket = attrs.evolve(
            raw, transport=Transport.WS, port=ports["websocket"], path="/", subprotocols=("binary",)
        )
        secure = attrs.evolve(
            websocket, transport=Transport.WSS, port=ports["secure"], tls=TlsPolicy(ca_file=ca)
        )
        self._endpoints = {"raw": raw, "websocket": websocket, "secure": secure}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, shared: Shared) -> Self:
        return cls(config, Path(config["ca"]))

    async def check(self, request: ConsoleRequest) -> None:
        if request.server_id not in self._endpoints:
            raise UnknownServer(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        await self.check(request)
        return self._endpoints[request.server_id]
