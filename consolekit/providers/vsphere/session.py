"""Providers, vSphere: one vCenter or ESXi host, as providers of VMware consoles see it.

Knows what to ask in which order, how long an answer may take, and what to remember; knows no SOAP and no
thread. One login is shared by everybody; a call that finds it lost waits for exactly one new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from consolekit.core.errors import (
    ConfigError,
    ConsoleConflict,
    ConsoleNotSupported,
    HypervisorTimeout,
    Problem,
    ServerGone,
    UnknownServer,
)
from consolekit.core.shared import Shared, Use
from consolekit.core.types import Clock, SystemClock
from consolekit.providers.vsphere.api import Api, Connect, MachineMissing, WrongState
from consolekit.providers.vsphere.calls import Call, CallPool
from consolekit.providers.vsphere.login import SharedLogin
from consolekit.providers.vsphere.lookup import Moids, canonical_id, is_still, only_one
from consolekit.providers.vsphere.results import CloneInfo, Machine, Ticket, VncSettings
from consolekit.providers.vsphere.settings import FindBy, VSphereSettings

T = TypeVar("T")


class VSphere:
    """One vCenter or ESXi host: shares one login, asks with deadlines, remembers where machines are.

    Nothing is connected before the first question. Every method waits at most ``settings.call_seconds``,
    and a host that hangs holds up its own callers only.

    Args:
        settings: Where it is and how to log in.
        clock: For what is remembered.
        name: What logs call it; the provider's configured name.
        connect: How a session is made; default: pyvmomi.

    Raises:
        ConfigError: pyvmomi is not installed.
    """

    def __init__(
        self, settings: VSphereSettings, *, clock: Clock, name: str, connect: Connect | None = None
    ) -> None:
        self._settings = settings
        self._pool = CallPool(settings.workers, clock=clock, name=name)
        self._login = SharedLogin(settings, self._pool, connect or _pyvmomi(), clock=clock, name=name)
        self._moids = Moids(clock)

    def __repr__(self) -> str:
        return f"VSphere({self._settings.host!r})"

    @property
    def host(self) -> str:
        """The vCenter or host that is asked, as configured."""
        return self._settings.host

    @property
    def api_version(self) -> str:
        """Its API version, such as ``8.0.3.0``; empty before the first answer."""
        return self._login.api_version

    async def version(self) -> str:
        """The API version, from the login; asks nothing where somebody has logged in before.

        Raises:
            ConsoleUnavailable: the API did not answer as it should; the class says in which way.
        """
        if not self.api_version:
            await self._within(self._login.call(lambda _call, _api: None))
        return self.api_version

    async def machine(self, server_id: str) -> Machine:
        """Read a machine's state: one call, and one more where it must be found first.

        Raises:
            UnknownServer: there is no such machine (any more).
            AmbiguousServer: there are several.
            ConsoleUnavailable: the API did not answer as it should; the class says in which way.
        """
        return await self._within(self._machine(server_id))

    async def ticket(self, server_id: str, kind: str) -> Ticket:
        """Take a fresh ticket: one call, and one more where the machine must be found first.

        Args:
            server_id: Which machine.
            kind: ``webmks`` or ``mks``.

        Raises:
            UnknownServer: there is no such machine (any more).
            ConsoleConflict: its state allows no console; the class says which.
            ConsoleNotSupported: there are no tickets of this kind.
            ConsoleUnavailable: it cannot be had now; the class says why.
        """
        return await self._within(self._take(server_id, kind))

    async def clone_ticket(self, server_id: str) -> CloneInfo:
        """Take a login for one use, with what a viewer needs that logs in to vCenter itself.

        Raises:
            UnknownServer: there is no such machine (any more).
            ConsoleConflict: its state allows no console; the class says which.
            ConsoleNotSupported: this is no vCenter.
            ConsoleUnavailable: it cannot be had now; the class says why.
        """
        return await self._within(self._clone(server_id))

    async def vnc_settings(self, server_id: str) -> VncSettings:
        """Read where the machine's own VNC server listens now. Never sets a port.

        Raises:
            UnknownServer: there is no such machine (any more).
            ConsoleConflict: its state allows no console; the class says which.
            ConsoleNotSupported: the machine has no VNC server configured.
            ConsoleUnavailable: it cannot be had now; the class says why.
        """
        return await self._within(self._vnc(server_id))

    async def aclose(self) -> None:
        """Log out and let go of every connection and thread; calls under way end with an error."""
        self._pool.abandon()
        await self._login.aclose()
        await self._pool.aclose()

    async def _within(self, answer: Coroutine[Any, Any, T]) -> T:
        """One deadline over everything that one question takes."""
        seconds = self._settings.call_seconds
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await answer
        except TimeoutError:
            if not deadline.expired():
                raise
            raise HypervisorTimeout(f"{self._settings.host} gave no answer within {seconds:g} s") from None

    async def _machine(self, server_id: str) -> Machine:
        def read(call: Call, api: Api, moid: str, wanted: str) -> Machine:
            machine = api.machine(call, moid)
            if not is_still(self._settings.find_by, wanted, machine):
                raise MachineMissing
            return machine

        return await self._on_machine(server_id, read)

    async def _vnc(self, server_id: str) -> VncSettings:
        def read(call: Call, api: Api, moid: str, wanted: str) -> VncSettings:
            settings = api.vnc(call, moid)
            if not is_still(self._settings.find_by, wanted, settings.machine):
                raise MachineMissing
            return settings

        return await self._on_machine(server_id, read)

    async def _take(self, server_id: str, kind: str) -> Ticket:
        def acquire(call: Call, api: Api, moid: str, _: str) -> Ticket:
            return api.ticket(call, moid, kind)

        try:
            return await self._on_machine(server_id, acquire)
        except WrongState:
            # the fault does not say which state is wrong; the machine does
            machine = await self._machine(server_id)
            machine.check_state()
            raise ConsoleConflict(f"{machine.moid} gives no ticket in its present state") from None

    async def _clone(self, server_id: str) -> CloneInfo:
        machine = await self._machine(server_id)
        machine.check_state()

        def acquire(call: Call, api: Api) -> CloneInfo:
            if not api.is_vcenter:
                raise ConsoleNotSupported("a single ESXi host has no console page of vCenter's kind")
            sha1, sha256 = api.thumbprints
            return CloneInfo(
                host=self._settings.host,
                fqdn=api.fqdn(call) or self._settings.host,
                server_guid=api.server_guid,
                moid=machine.moid,
                name=machine.name,
                session_ticket=api.clone_ticket(call),
                thumbprint_sha1=sha1,
                thumbprint_sha256=sha256,
            )

        return await self._login.call(acquire)

    async def _on_machine(self, server_id: str, ask: Callable[[Call, Api, str, str], T]) -> T:
        """Ask about a machine; where the remembered id leads to nothing, find it anew, once.

        Raises:
            UnknownServer: it is not there.
            ServerGone: it was, a moment ago.
        """
        wanted = canonical_id(self._settings.find_by, server_id)
        moid = self._moids.get(wanted)
        if moid is not None:
            try:
                return await self._ask(ask, moid, wanted)
            except MachineMissing:
                self._moids.forget(wanted)
        try:
            found = await self._find(wanted)
            self._moids.put(wanted, found)
            return await self._ask(ask, found, wanted)
        except (MachineMissing, UnknownServer) as exc:
            self._moids.forget(wanted)
            if moid is not None:
                raise ServerGone(f"{moid} is gone") from None
            if isinstance(exc, UnknownServer):
                raise
            raise UnknownServer("no machine has this id") from None

    async def _ask(self, ask: Callable[[Call, Api, str, str], T], moid: str, wanted: str) -> T:
        return await self._login.call(lambda call, api: ask(call, api, moid, wanted))

    async def _find(self, wanted: str) -> str:
        find_by = self._settings.find_by
        if find_by is FindBy.MOID:
            return wanted
        return only_one(await self._login.call(lambda call, api: api.find(call, find_by, wanted)))


def use_vsphere(settings: VSphereSettings, shared: Shared) -> Use[VSphere]:
    """The session of everybody in this kit who means the same account at the same place in the same way.

    Raises:
        ConfigError: pyvmomi is not installed.
    """
    return shared.use(VSphere, settings, lambda: VSphere(settings, clock=SystemClock(), name=settings.host))


def _pyvmomi() -> Connect:
    """The one door to pyvmomi; opened when a vCenter is configured, not when this module is imported.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from consolekit.providers.vsphere.soap import connect
    except ModuleNotFoundError as exc:
        problem = f"VMware consoles need {exc.name}, which is missing: pip install 'consolekit[vmware]'"
        raise ConfigError([Problem("", problem)]) from None
    return connect
