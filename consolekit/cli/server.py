"""CLI: one process that serves: listeners, signals, drain. Wiring between config and the two faces.

Knows every layer below; decides nothing that is not about being a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs
from prometheus_client import ProcessCollector
from tornado.web import Application

from consolekit.api.app import make_api
from consolekit.api.callers import Callers, KeyEntry
from consolekit.cli import logs
from consolekit.cli.loop import new_loop
from consolekit.cli.notify import ServiceManager
from consolekit.cli.report import report
from consolekit.cli.worker import PARENT
from consolekit.config.certificates import expires_at
from consolekit.config.model import Config
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError, ListenFailed, Problem
from consolekit.core.networks import NOWHERE, Networks
from consolekit.core.types import Mode
from consolekit.kit import ConsoleKit
from consolekit.net.inherited import take_inherited
from consolekit.net.listener import Listener, ListenerSettings
from consolekit.proxy.app import Proxy, ProxySettings
from consolekit.proxy.relay import RelaySettings
from consolekit.proxy.session import Timeouts
from consolekit.proxy.sessions import Limits

_log = logging.getLogger(__name__)
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SETTLE_SECONDS = 1.0  # for answers that are under way when the last console has ended


class Server:
    """The proxy, the API, or both, listening; make and use it inside one running loop.

    Args:
        config: Everything the operator decided.
        kit: Built from it, or by an integrator; closed with the server.
        proxy: Serve browsers.
        api: Serve those who ask for consoles.
        inherited: Listening sockets that were handed to this process, as ``proxy``, ``api`` and ``admin``;
            they take the place of the configured addresses.
    """

    def __init__(
        self,
        config: Config,
        kit: ConsoleKit,
        *,
        proxy: bool = True,
        api: bool = True,
        inherited: Mapping[str, Sequence[socket.socket]] | None = None,
    ) -> None:
        self._config, self._kit = config, kit
        self._inherited = inherited or {}
        self._with_proxy, self._with_api = proxy, api
        self._listeners: list[Listener] = []
        self._certificates: dict[str, tuple[Listener, float]] = {}
        self._admin: Listener | None = None
        self._proxy: Proxy | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._leaving = False
        self.proxy_url: str = ""
        self.api_url: str = ""
        self.admin_url: str = ""

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenFailed: an address cannot be had.
            ConfigError: a certificate cannot be used.
            StoreUnavailable: the token store cannot be read.
        """
        try:
            if self._with_proxy:
                await self._start_proxy()
            if self._with_api:
                self._start_api()
        except BaseException:
            await self.aclose()
            raise

    async def _start_proxy(self) -> None:
        config = self._config
        listener = self._listener("proxy", config.proxy.listen, config.proxy.cert, config.proxy.key)
        self.proxy_url = config.proxy.base_url or _url(config.proxy.listen, listener, config.proxy.cert)
        # Only now is the port known where the system chose it, and links must carry it.
        self._kit.settings = attrs.evolve(self._kit.settings, base_url=self.proxy_url)
        self._proxy = Proxy(self._kit, _proxy_settings(config, self.proxy_url, listener.port))
        self._proxy.pending = lambda: listener.pending
        self._proxy.listening, self._proxy.certificates = self._count_sockets, self._expiries
        self._proxy.lost_lines = logs.lost
        ProcessCollector(registry=self._proxy.metrics.registry)
        listener.on_refused = self._proxy.metrics.connection_refused
        await self._proxy.start()
        listener.start(self._proxy.application())
        _log.info("proxy on %s", self.proxy_url)
        if config.admin.listen is not None or "admin" in self._inherited:
            address = config.admin.listen or Address("127.0.0.1", 0)
            admin = self._admin = self._listener("admin", address)
            self.admin_url = _url(address, admin)
            admin.start(self._proxy.admin_application())
            if admin.port:  # else it is our parent that shows them
                _log.info("metrics and probes on %s", self.admin_url)

    def _start_api(self) -> None:
        config = self._config
        listener = self._listener("api", config.api.listen, config.api.cert, config.api.key)
        self.api_url = _url(config.api.listen, listener, config.api.cert)
        listener.start(self._api(listener.port))
        _log.info("API on %s", self.api_url)
        if config.api.authentication == "none":
            _log.warning("the API asks for no key: whoever can reach %s may open consoles", self.api_url)

    def _api(self, port: int) -> Application:
        api = self._config.api
        hosts = _own_hosts(api.listen, port, "https" if api.cert else "http")
        if api.authentication == "none":  # and so for nobody but loopback, whatever else is allowed
            return make_api(self._kit, callers=Callers.anonymous(), hosts=hosts)
        keys = {
            name: KeyEntry(
                sha256=key.sha256,
                servers=key.servers,
                subjects=key.subjects,
                modes=tuple(Mode(mode) for mode in key.modes),
                see_secrets=key.see_secrets,
            )
            for name, key in api.keys.items()
        }
        try:
            callers = Callers(keys)
        except ValueError as exc:
            raise ConfigError([Problem("api.keys", str(exc))]) from exc
        return make_api(
            self._kit,
            callers=callers,
            hosts=hosts | _lower(self._config.proxy.allowed_hosts),
            trusted_proxies=_trusted(self._config),
        )

    def _listener(
        self, name: str, address: Address, cert: Path | None = None, key: Path | None = None
    ) -> Listener:
        """A bound listener: its port is known, nobody is accepted yet."""
        listener = Listener(
            address.host,
            address.port,
            tls=server_context(cert, key) if cert else None,
            settings=ListenerSettings(
                pending=self._config.limits.pending,
                pending_per_address=self._config.limits.pending_per_address,
                request_seconds=self._config.timeouts.request_seconds,
                trusted=NOWHERE if name == "admin" else _trusted(self._config),
                proxy_protocol=name == "proxy" and self._config.proxy.proxy_protocol,
            ),
            sockets=self._inherited.get(name, ()),
        )
        try:
            listener.bind()
        except OSError as exc:
            raise ListenFailed(f"cannot listen on {address}: {exc.strerror or exc}") from exc
        self._listeners.append(listener)
        if cert and (expiry := expires_at(cert)) is not None:
            self._certificates[name] = (listener, expiry)
        return listener

    def _count_sockets(self) -> dict[str, int]:
        return {
            "listening": sum(len(listener.sockets) for listener in self._listeners),
            "http": sum(listener.pending for listener in self._listeners),
        }

    def _expiries(self) -> dict[str, float]:
        """Of those that still listen: nobody is shown the others' certificates any more."""
        return {name: expiry for name, (listener, expiry) in self._certificates.items() if listener.sockets}

    def report(self) -> None:
        """Write the live sessions and tasks to the log."""
        sessions = self._proxy.sessions if self._proxy is not None else ()
        infos = [session.info() for session in sessions]
        report(infos, asyncio.all_tasks(), now=self._kit.clock.now())

    def stop(self) -> None:
        """Ask the server to end: the first time it drains, the second time it ends now."""
        if self._leaving:  # with no limit so far; from now on with the usual one
            self._leaving = False
            seconds = self._config.timeouts.drain_seconds
            asyncio.get_running_loop().call_later(seconds, self._hurry.set)
        elif self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def leave(self) -> None:
        """Ask the server to accept nobody any more, and to end with its last console."""
        self._leaving = not self._stop.is_set()
        self._stop.set()

    async def wait(self) -> None:
        """Until somebody calls ``stop`` or ``leave``."""
        await self._stop.wait()

    async def drained(self) -> None:
        """Give live sessions the time that was asked for, then close everything."""
        config = self._config
        unlimited = config.limits.session_seconds  # no session lives longer
        await self.aclose(drain_seconds=unlimited if self._leaving else config.timeouts.drain_seconds)

    async def aclose(self, *, drain_seconds: float = 0.0) -> None:
        """Accept nobody, give live sessions and requests their time, close everything."""
        public = [listener for listener in self._listeners if listener is not self._admin]
        for listener in public:
            listener.stop()
        if drain_seconds:
            async with asyncio.TaskGroup() as group:
                hurry = group.create_task(self._cut_short(public))
                await self._drain(public, drain_seconds)
                hurry.cancel()
        if self._proxy is not None:
            await self._proxy.aclose()
        for listener in public:
            await listener.aclose()
        if self._admin is not None:  # to the end it tells how it is going
            await self._admin.aclose()
        await self._kit.aclose()

    async def _drain(self, public: Sequence[Listener], seconds: float) -> None:
        if self._proxy is not None and self._proxy.sessions:
            count = len(self._proxy.sessions)
            _log.info("draining %d sessions for up to %g s; once more to end now", count, seconds)
        settled = asyncio.gather(*(listener.settle() for listener in public))
        if self._leaving:  # who was accepted before others took over is still served
            await settled
        if self._proxy is not None:
            await self._proxy.sessions.drain(seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await settled

    async def _cut_short(self, public: Sequence[Listener]) -> None:
        await self._hurry.wait()
        for session in self._proxy.sessions if self._proxy is not None else ():
            session.end("draining")
        for listener in public:
            await listener.aclose()


def run(config: Config, kit: ConsoleKit, *, proxy: bool, api: bool) -> int:
    """Serve until a signal says otherwise; the process's exit code.

    SIGTERM and SIGINT drain, a second one ends at once.

    Raises:
        ConsoleKitError: what the operator has to mend; nothing is served.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_run(config, kit, proxy=proxy, api=api))


async def _run(config: Config, kit: ConsoleKit, *, proxy: bool, api: bool) -> int:
    inherited = take_inherited(os.environ, ("proxy", "api", "admin"))
    server = Server(config, kit, proxy=proxy, api=api, inherited=inherited)
    manager = ServiceManager(os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGUSR1, server.leave)
    loop.add_signal_handler(signal.SIGUSR2, server.report)
    loop.add_signal_handler(signal.SIGHUP, _no_reload)
    if (lifeline := os.environ.pop(PARENT, "")).isdecimal():
        loop.add_reader(int(lifeline), _orphaned, server, int(lifeline))
    await server.start()
    gc.freeze()  # what is here now stays: the collector need not look through it again and again
    manager.ready()
    await server.wait()
    manager.stopping()
    await server.drained()
    manager.close()
    return 0


def _no_reload() -> None:
    _log.warning(
        "SIGHUP changes nothing here: one process alone cannot reload; "
        'for that, proxy.workers must not be 0, nor tokens.store "memory"'
    )


def _orphaned(server: Server, lifeline: int) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    _log.error("the parent process is gone: this worker ends with its consoles")
    server.leave()


def server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """The TLS context of a listener.

    Raises:
        ConfigError: the files cannot be read or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError([Problem("cert, key", f"cannot be used: {exc}")]) from exc
    return context


def _proxy_settings(config: Config, base_url: str, port: int) -> ProxySettings:
    url = urlsplit(base_url)
    own = _own_hosts(config.proxy.listen, port, url.scheme)
    local = {f"{url.scheme}://{host}" for host in own} if url.hostname in _plain_loopback() else set()
    limits, timeouts = config.limits, config.timeouts
    public = [url, *(urlsplit(other) for other in config.proxy.base_urls.values())]
    hosts = {_netloc(each.netloc, each.scheme) for each in public}
    origins = {f"{each.scheme}://{_netloc(each.netloc, each.scheme)}" for each in public}
    return ProxySettings(
        origins=frozenset(origins | local) | _lower(config.proxy.allowed_origins),
        hosts=own | hosts | _lower(config.proxy.allowed_hosts),
        allow_no_origin=config.proxy.allow_no_origin,
        prefix=url.path.rstrip("/"),
        trusted_proxies=_trusted(config),
        web_root=config.proxy.web_root,
        limits=Limits(
            sessions=limits.sessions,
            per_server=limits.per_server,
            per_subject=limits.per_subject,
            per_address=limits.per_address,
        ),
        timeouts=Timeouts(connect=timeouts.connect_seconds, handshake=timeouts.handshake_seconds),
        relay=RelaySettings(
            ping_seconds=timeouts.ping_seconds,
            pong_seconds=timeouts.pong_seconds,
            stall_seconds=timeouts.stall_seconds,
            idle_seconds=limits.idle_seconds,
        ),
    )


def _trusted(config: Config) -> Networks:
    return Networks.parse(config.proxy.trusted_proxies)


def _own_hosts(address: Address, port: int, scheme: str) -> frozenset[str]:
    """What a listener may be called without being told: its address, and loopback's names if it is there."""
    names = {f"[{address.host}]" if ":" in address.host else address.host}
    if address.is_loopback or address.is_wildcard:
        names |= set(_LOOPBACK_NAMES)
    return frozenset(_netloc(f"{name}:{port}", scheme) for name in names)


def _plain_loopback() -> set[str]:
    return {name.strip("[]") for name in _LOOPBACK_NAMES}


def _netloc(netloc: str, scheme: str) -> str:
    """As a browser writes it: lower case, without the scheme's own port."""
    return netloc.lower().removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")


def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower().rstrip("/") for name in names)


def _url(address: Address, listener: Listener, cert: Path | None = None) -> str:
    scheme = "https" if cert else "http"
    host = "127.0.0.1" if address.is_wildcard else address.host
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{_netloc(f'{host}:{listener.port}', scheme)}"
