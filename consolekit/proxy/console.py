"""Proxy: one grant's console at its provider: asked for, reached, given back. Knows no viewer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleNotImplemented,
    ProviderError,
    TicketRefused,
    UnknownServer,
    UpstreamRefused,
)
from consolekit.core.handshake import Script
from consolekit.core.provider import ConsoleProvider, ViewerFilter
from consolekit.core.timings import Step
from consolekit.core.types import Endpoint, Grant, Mode
from consolekit.kit import ConsoleKit
from consolekit.proxy.closecodes import AS_SAID, MOVED, TAKEN
from consolekit.proxy.shake import Shake, reach

_log = logging.getLogger(__name__)
_CLOSE_SECONDS = 5.0  # for a provider's close
T = TypeVar("T")


class Console:
    """Asks the grant's provider and reaches the server.

    The provider's ``close`` is called once for each endpoint that it gave.

    Args:
        kit: Has the providers.
        grant: What for.
        labels: Who and what, for the log.
        counts_input: Whether the viewer's input is to be told from the rest, even if all of it may pass.

    Attributes:
        viewer_filter: What the viewer's bytes go through; None: they pass as they are.
    """

    __slots__ = (
        "_counts_input", "_endpoint", "_grant", "_kit", "_labels", "_provider", "viewer_filter",
    )  # fmt: skip

    def __init__(
        self,
        kit: ConsoleKit,
        grant: Grant,
        labels: Callable[[], Mapping[str, object]],
        *,
        counts_input: bool = False,
    ) -> None:
        self._kit, self._grant, self._labels = kit, grant, labels
        self._counts_input = counts_input
        self.viewer_filter: ViewerFilter | None = None
        self._provider: ConsoleProvider | None = None
        self._endpoint: Endpoint | None = None

    @property
    def parting(self) -> Mapping[str, str]:
        """What the server's ends mean here, where its provider knows more: slug -> slug."""
        if self._endpoint is None:
            return AS_SAID
        if self._endpoint.exclusive:
            return TAKEN
        return MOVED if self._endpoint.moves else AS_SAID

    async def reach(self, *, connect_seconds: float, handshake_seconds: float) -> Shake:
        """Open the console and reach its server; once more with a fresh ticket, where it refuses ours.

        Args:
            connect_seconds: Deadline of each connection attempt.
            handshake_seconds: Deadline of the server's part of the handshake.

        Raises:
            TokenRefused: the grant has parameters that the provider does not take.
            ProviderError: the provider cannot give the console.
            PeerError: the server cannot be reached, is not trusted or did not behave.
        """
        try:
            return await self._reach_surely(connect_seconds, handshake_seconds)
        except (UpstreamRefused, TicketRefused) as exc:
            self._explain(exc.answered)
            raise

    async def _reach_surely(self, connect_seconds: float, handshake_seconds: float) -> Shake:
        provider, key = self._kit.registry.get(self._grant.provider), self._grant.request.key
        if key not in provider.keys:  # the name is another provider's now: the grant outlived its own
            raise UnknownServer(f"provider {self._grant.provider!r} does not offer {key} (any more)")
        self._kit.check_params(self._grant)
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
        if self._provider is None or endpoint is None or not _gives_back(self._provider):
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._provider.close(endpoint)
        except Exception:
            _log.exception("the provider's close failed", extra=dict(self._labels()))

    async def _reach_once(self, connect_seconds: float, handshake_seconds: float) -> Shake:
        self._endpoint = await self._ask_provider()
        self.viewer_filter = self._ask_filter(self._endpoint)
        return await reach(
            self._endpoint,
            self._ask_script,
            connect_seconds=connect_seconds,
            handshake_seconds=handshake_seconds,
            measure=self._measure,
        )

    def _measure(self, step: Step) -> AbstractContextManager[None]:
        key = self._grant.request.key
        return self._kit.timings.measure(step, key.protocol, key.type)

    async def _ask_provider(self) -> Endpoint:
        request, target = self._grant.request, self._grant.target
        if target is not None:
            return await self._kit.ask(self._grant.provider, "adopt", lambda it: it.adopt(request, target))
        return await self._kit.ask(self._grant.provider, "open", lambda it: it.open(request))

    def _ask_filter(self, endpoint: Endpoint) -> ViewerFilter | None:
        """The filter, where there must or may be one; who may only look gets nothing without."""
        mode, found = self._grant.request.mode, None
        if mode is not Mode.INTERACT or self._counts_input:
            found = self._ask(lambda provider: provider.viewer_filter(endpoint, mode))
        if found is None and mode is not Mode.INTERACT:
            name = self._grant.provider
            raise ConsoleNotImplemented(f"provider {name} gave no filter for mode {mode.value}")
        return found

    def _explain(self, status: int) -> None:
        """Raise what the provider makes of an HTTP status that refused us, if it knows."""

        def explain(provider: ConsoleProvider) -> None:
            if endpoint is not None and status and (error := provider.refused(endpoint, status)) is not None:
                raise error

        endpoint = self._endpoint
        self._ask(explain)

    def _ask_script(self, endpoint: Endpoint) -> Script | None:
        return self._ask(lambda provider: provider.handshake(endpoint))

    def _ask(self, question: Callable[[ConsoleProvider], T]) -> T:
        assert self._provider is not None  # noqa: S101 - it has given the endpoint
        try:
            return question(self._provider)
        except ConsoleKitError:
            raise
        except Exception as exc:
            name = self._grant.provider
            _log.exception("provider raised what its contract does not allow", extra={"provider": name})
            raise ProviderError(f"provider {name} failed: {type(exc).__name__}") from exc


def _gives_back(provider: ConsoleProvider) -> bool:
    """Whether its ``close`` does anything: most have nothing to give back, and a deadline has its price."""
    return getattr(provider.close, "__func__", None) is not ConsoleProvider.close
