"""Proxy: one grant's console at its provider: asked for, reached, given back. Knows no viewer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from consolekit.core.errors import (
    ConsoleKitError,
    ProviderError,
    TicketRefused,
    UnknownServer,
)
from consolekit.core.handshake import Script
from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import Endpoint, Grant
from consolekit.kit import ConsoleKit
from consolekit.proxy.shake import Shake, reach

_log = logging.getLogger(__name__)
_CLOSE_SECONDS = 5.0  # for a provider's close


class Console:
    """Asks the grant's provider and reaches the server.

    The provider's ``close`` is called once for each endpoint that it gave.

    Args:
        kit: Has the providers.
        grant: What for.
        labels: Who and what, for the log.
    """

    __slots__ = ("_endpoint", "_grant", "_kit", "_labels", "_provider")

    def __init__(self, kit: ConsoleKit, grant: Grant, labels: Callable[[], Mapping[str, object]]) -> None:
        self._kit, self._grant, self._labels = kit, grant, labels
        self._provider: ConsoleProvider | None = None
        self._endpoint: Endpoint | None = None

    async def reach(self, *, connect_seconds: float, handshake_seconds: float) -> Shake:
        """Open the console and reach its server; once more with a fresh ticket, where it refuses ours.

        Args:
            connect_seconds: Deadline of each connection attempt.
            handshake_seconds: Deadline of the server's part of the handshake.

        Raises:
            ProviderError: the provider cannot give the console.
            PeerError: the server cannot be reached, is not trusted or did not behave.
        """
        provider, key = self._kit.registry.get(self._grant.provider), self._grant.request.key
        if key not in provider.keys:  # the name is another provider's now: the grant outlived its own
            raise UnknownServer(f"provider {self._grant.provider!r} does not offer {key} (any more)")
        self._provider = provider
        try:
            return await self._reach_once(connect_seconds, handshake_seconds)
        except TicketRefused as exc:
            if self._grant.target is not None:  # its ticket came with the token: there is no fresh one
                raise
            _log.info("asking for another ticket: %s", exc, extra=dict(self._labels()))
            await self.close()
            return await self._reach_once(connect_seconds, handshake_seconds)

    async def close(self) -> None:
        """Give the console back, if there is one. Never raises: the provider's failure is its own."""
        endpoint, self._endpoint = self._endpoint, None
        if self._provider is None or endpoint is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._provider.close(endpoint)
        except Exception:
            _log.exception("the provider's close failed", extra=dict(self._labels()))

    async def _reach_once(self, connect_seconds: float, handshake_seconds: float) -> Shake:
        self._endpoint = await self._ask_provider()
        return await reach(
            self._endpoint,
            self._ask_script,
            connect_seconds=connect_seconds,
            handshake_seconds=handshake_seconds,
        )

    async def _ask_provider(self) -> Endpoint:
        request, target = self._grant.request, self._grant.target
        if target is not None:
            return await self._kit.ask(self._grant.provider, lambda it: it.adopt(request, target))
        return await self._kit.ask(self._grant.provider, lambda it: it.open(request))

    def _ask_script(self, endpoint: Endpoint) -> Script | None:
        assert self._provider is not None  # noqa: S101 - it has given the endpoint
        try:
            return self._provider.handshake(endpoint)
        except ConsoleKitError:
            raise
        except Exception as exc:
            name = self._grant.provider
            _log.exception("provider raised what its contract does not allow", extra={"provider": name})
            raise ProviderError(f"provider {name} failed: {type(exc).__name__}") from exc
