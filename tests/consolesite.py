"""Test support: a site with two small providers, its kit, and callers. Importable as ``consolesite``.

Nothing here opens a socket: the tokens are the real ones, over the memory store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.core.errors import ConnectTimeout, ConsoleConflict, ConsoleUnavailable, UnknownServer
from consolekit.core.hooks import Hooks
from consolekit.core.provider import ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import Caller, ConsoleKey, ConsoleRequest, Endpoint, Secret, SessionInfo
from consolekit.kit import ConsoleKit, KitSettings
from consolekit.testing.clock import ManualClock

VNC = ConsoleKey("vnc", "novnc")
SERIAL = ConsoleKey("serial", "serial")
PORTAL = Caller(name="portal")


class Rack(ConsoleProvider):
    """Screens of three servers, each in another state; what ``check`` raises can be replaced."""

    keys = (VNC,)
    refused_keys: ClassVar[Mapping[ConsoleKey, str]] = {
        ConsoleKey("vnc", "xvpvnc"): "gone for years; use vnc/novnc"
    }

    def __init__(self, **faults: Exception) -> None:
        self.faults: dict[str, Exception | None] = {
            "web-1": None,
            "off-1": ConsoleConflict("off-1 is powered off"),
            "late-1": ConsoleUnavailable("late-1 is starting"),
            "slow-1": ConnectTimeout("the hypervisor of slow-1 sleeps"),
            **{name.replace("_", "-"): fault for name, fault in faults.items()},
        }
        self.checked: list[ConsoleRequest] = []
        self.closed = False

    async def check(self, request: ConsoleRequest) -> None:
        self.checked.append(request)
        if request.server_id not in self.faults:
            raise UnknownServer(request.server_id)
        fault = self.faults[request.server_id]
        if fault is not None:
            raise fault

    async def open(self, request: ConsoleRequest) -> Endpoint:
        return Endpoint(host="192.0.2.1", port=5900, secret=Secret("of the rack"))

    async def aclose(self) -> None:
        self.closed = True


class Wires(ConsoleProvider):
    """Serial ports of ``web-1``, with parameters."""

    keys = (SERIAL,)
    params_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "port": {"type": "integer", "minimum": 0, "maximum": 3},
            "label": {"$ref": "#/$defs/label"},
        },
        "additionalProperties": False,
        "$defs": {"label": {"type": "string", "pattern": "^[a-z]+$"}},
    }

    async def check(self, request: ConsoleRequest) -> None:
        if request.server_id != "web-1":
            raise UnknownServer(request.server_id)

    async def open(self, request: ConsoleRequest) -> Endpoint:
        return Endpoint(host="192.0.2.1", port=4000 + request.params.get("port", 0))

    async def connect_info(self, request: ConsoleRequest) -> Mapping[str, object]:
        return {"host": "192.0.2.1", "port": 4000, "sessionTicket": Secret("of the wires")}


@attrs.define
class Site:
    """A kit and what it was made of."""

    kit: ConsoleKit
    rack: Rack
    store: MemoryTokenStore
    clock: ManualClock


def registry_of(**providers: ConsoleProvider) -> ProviderRegistry:
    registry = ProviderRegistry()
    for name, provider in providers.items():
        registry.add(name, provider)
    return registry


def make_site(*more: ConsoleProvider, **settings: Any) -> Site:
    """A site with ``Rack`` and ``Wires``, and any more providers after them."""
    clock, rack = ManualClock(), Rack()
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    extra = {f"more{number}": provider for number, provider in enumerate(more)}
    kit = ConsoleKit(
        registry=registry_of(rack=rack, wires=Wires(), **extra),
        store=store,
        issuer=tokens,
        validators=[tokens],
        hooks=Hooks(),
        clock=clock,
        settings=KitSettings(**{"base_url": "https://consoles.example.org/gw/", **settings}),
    )
    return Site(kit=kit, rack=rack, store=store, clock=clock)


def session(session_id: str = "s-1", grant_id: str = "g-1", **fields: Any) -> SessionInfo:
    """A live session on ``web-1``."""
    given: dict[str, Any] = {
        "key": VNC,
        "server_id": "web-1",
        "subject": "alice",
        "address": "192.0.2.7",
        "started_at": 1_800_000_000.25,
        "issued_at": 1_799_999_990.0,
        **fields,
    }
    return SessionInfo(id=session_id, grant_id=grant_id, **given)
