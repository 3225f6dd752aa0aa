"""Proxy: what a proxy is behind any HTTP server: its settings, its live sessions, their figures, its life.

Knows no HTTP server; ``app`` puts it behind tornado's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
from prometheus_client import CollectorRegistry

from consolekit.core.networks import NOWHERE, Networks
from consolekit.core.types import SessionInfo
from consolekit.kit import ConsoleKit
from consolekit.proxy.admission import Admission
from consolekit.proxy.lag import LoopLag
from consolekit.proxy.metrics import Metrics, Sources
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Surroundings, Timeouts
from consolekit.proxy.sessions import Limits, Sessions
from consolekit.proxy.wheel import TimerWheel


@attrs.frozen(kw_only=True)
class ProxySettings:
    """What an operator decides about the proxy.

    Attributes:
        origins: Pages that may open websockets: ``scheme://host[:port]``, lower case.
        hosts: Names, with port where not the scheme's own, that requests may be addressed to.
        allow_no_origin: Whether clients that are no browsers (no Origin header) may connect.
        prefix: Path in front of everything, such as ``/consoles``.
        trusted_proxies: Networks of proxies whose ``X-Forwarded-For`` says who the viewer is.
        web_root: The operator's own noVNC, or another viewer's pages.
        limits: How many sessions.
        timeouts: Deadlines of a session's beginning.
        relay: Deadlines and limits of the rest.
    """

    origins: Collection[str]
    hosts: Collection[str]
    allow_no_origin: bool = True
    prefix: str = ""
    trusted_proxies: Networks = NOWHERE
    web_root: Path | None = None
    limits: Limits = attrs.field(factory=Limits)
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    relay: RelaySettings = attrs.field(factory=RelaySettings)

    @classmethod
    def of(cls, kit: ConsoleKit, **more: Any) -> Self:
        """Settings that fit the links of a kit: origins, hosts and prefix are those of its base URLs.

        Args:
            kit: Whose ``settings.base_url`` and ``base_urls`` say where browsers are.
            more: Other settings, or one of these three instead.
        """
        urls = [urlsplit(url.lower()) for url in (kit.settings.base_url, *kit.settings.base_urls.values())]
        own: dict[str, Any] = {
            "origins": frozenset(f"{url.scheme}://{url.netloc}" for url in urls),
            "hosts": frozenset(url.netloc for url in urls),
            "prefix": urlsplit(kit.settings.base_url).path,
        }
        return cls(**{**own, **more})


class Engine:
    """One proxy over one kit; make it inside the running loop.

    Args:
        kit: Providers, tokens, hooks. Stays the caller's to close.
        settings: See ``ProxySettings``.
        registry: Where the metrics go; an embedder passes its own.

    Attributes:
        settings: As given.
        around: What every session of it shares.
        admission: Who gets one.
        sessions: The live ones.
        metrics: The figures.
        pending: Gives the number of connections without a token; set by whoever listens.
        listening: Gives the number of sockets that are no session's, by kind; set by whoever listens.
        certificates: Gives when (epoch s) each listener's certificate ends; set by whoever listens.
        lost_lines: Gives how many lines of the log nobody took; set by whoever writes it.
    """

    def __init__(
        self, kit: ConsoleKit, settings: ProxySettings, *, registry: CollectorRegistry | None = None
    ) -> None:
        self.settings = settings
        self.pending: Callable[[], int] = int
        self.listening: Callable[[], Mapping[str, int]] = dict
        self.certificates: Callable[[], Mapping[str, float]] = dict
        self.lost_lines: Callable[[], int] = int
        self.sessions: Sessions = Sessions(kit.store, kit.clock, settings.limits)
        self.metrics: Metrics = Metrics(
            kit.registry.pairs(),
            registry=registry or CollectorRegistry(),
            sources=Sources(
                live=self._infos,
                pending=lambda: self.pending(),
                sockets=self._sockets,
                watching=lambda: self.sessions.watching,
                certificates=lambda: self.certificates(),
                lost_lines=lambda: self.lost_lines(),
            ),
            providers=[name for name, _ in kit.registry],
            validators=kit.validators.names,
        )
        kit.timings.listen(self.metrics.call_took)
        self._lag = LoopLag(self.metrics.lagged)
        wheel = TimerWheel(asyncio.get_running_loop(), kit.clock)
        self.around: Surroundings = Surroundings(
            kit=kit,
            sessions=self.sessions,
            metrics=self.metrics,
            wheel=wheel,
            timeouts=settings.timeouts,
            relay=settings.relay,
        )
        self.admission: Admission = Admission(
            self.around, origins=settings.origins, allow_no_origin=settings.allow_no_origin
        )

    def _infos(self) -> Iterable[SessionInfo]:
        return (session.info() for session in self.sessions)

    def _sockets(self) -> Mapping[str, int]:
        counted = Counter(self.listening())
        for session in self.sessions:
            viewer, server = session.sockets()
            counted["viewer"] += viewer
            counted["server"] += server
        return counted

    async def start(self) -> None:
        """Begin to follow revocations.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        await self.sessions.start()
        self._lag.start()

    async def aclose(self, *, drain_seconds: float = 0.0) -> None:
        """Wait for the sessions, end those that are left, stop."""
        await self.sessions.drain(drain_seconds)
        self._lag.stop()
        await self.sessions.aclose()
