"""Providers, vSphere: one login that everybody shares, made anew once for all who find it lost.

Knows when to log in, when not to, and when to log out; knows neither SOAP nor machines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from consolekit.core.errors import (
    HypervisorLoginFailed,
    HypervisorUnavailable,
    ProviderError,
)
from consolekit.core.types import Clock, Secret
from consolekit.providers.passwordfile import read_password
from consolekit.providers.vsphere.api import Api, Connect, LoginRefused, SessionLost
from consolekit.providers.vsphere.calls import Call, CallPool
from consolekit.providers.vsphere.settings import VSphereSettings

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_IDLE_SECONDS: Final = 1800.0  # unused that long, it logs out by itself
_LOGOUT_SECONDS: Final = 3.0
# vCenter locks an account at 5 refusals in 3 minutes, ESXi at 5 in a row for 15 minutes (their defaults)
_FIRST_REFUSAL_SECONDS: Final = 60.0
_LONGEST_REFUSAL_SECONDS: Final = 900.0


@attrs.frozen
class _Live:
    """A login, and how many there were before it: tells a caller's lost login from a newer one."""

    api: Api
    generation: int


@attrs.frozen
class _Refusal:
    """A password that was refused: not tried again before ``until``."""

    password: Secret = attrs.field(repr=False)
    until: float
    seconds: float


class SharedLogin:
    """One login at one vCenter or host.

    Args:
        settings: Where and who.
        pool: Runs what blocks.
        connect: Checks the certificate, then logs in.
        clock: For back-off and idleness.
        name: What logs call it.
    """

    def __init__(
        self, settings: VSphereSettings, pool: CallPool, connect: Connect, *, clock: Clock, name: str
    ) -> None:
        self._settings, self._pool, self._connect = settings, pool, connect
        self._clock, self._name = clock, name
        self._live: _Live | None = None
        self._generation = 0
        self._coming: asyncio.Task[_Live] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._refusal: _Refusal | None = None
        self._used_at = clock.monotonic()
        self._closed = False
        self.api_version: str = ""

    async def call(self, work: Callable[[Call, Api], T]) -> T:
        """Run with the login, and once more with a new one where it proves to be lost.

        Raises:
            HypervisorLoginFailed: the account is refused.
            HypervisorUnavailable: a new login was lost at once.
            ConsoleUnavailable: whatever else keeps it from answering.
        """
        self._used_at = self._clock.monotonic()
        live = await self._current(after=0)
        try:
            return await self._with(live, work)
        except SessionLost:
            _LOG.info("vSphere %s: the session is lost, logging in again", self._name)
        live = await self._current(after=live.generation)
        try:
            return await self._with(live, work)
        except SessionLost:
            raise HypervisorUnavailable("a new session was lost at once") from None

    async def _with(self, live: _Live, work: Callable[[Call, Api], T]) -> T:
        return await self._pool.run(lambda call: work(call, live.api), self._settings.call_seconds)

    async def _current(self, *, after: int) -> _Live:
        """The login that is newer than generation ``after``; all who wait share one attempt."""
        if self._closed:
            raise HypervisorUnavailable("this session is closed")
        live = self._live
        if live is not None and live.generation > after:
            return live
        if self._coming is None:
            if live is not None:
                self._live = None
                live.api.close()
            self._coming = asyncio.get_running_loop().create_task(self._log_in())
            self._coming.add_done_callback(self._arrived)
        # shielded: the first caller's impatience is not everybody's
        return await asyncio.shield(self._coming)

    def _arrived(self, task: asyncio.Task[_Live]) -> None:
        self._coming = None
        if task.cancelled() or task.exception() is not None:
            return
        self._live = task.result()
        self.api_version = self._live.api.version
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _log_in(self) -> _Live:
        password = await self._password()
        self._check_refusal(password)
        try:
            api = await self._pool.run(
                lambda call: self._connect(call, self._settings, password), self._settings.call_seconds
            )
        except LoginRefused:
            raise self._refused(password) from None
        self._refusal = None
        self._generation += 1
        _LOG.info("vSphere %s: logged in at %s, API %s", self._name, self._settings.host, api.version)
        return _Live(api, self._generation)

    async def _password(self) -> Secret:
        path = self._settings.password_file
        if path is None:
            assert self._settings.password is not None  # noqa: S101 - VSphereSettings wants one of the two
            return self._settings.password
        return await self._pool.run(lambda _: read_password(path), self._settings.call_seconds)

    def _check_refusal(self, password: Secret) -> None:
        """Do not help to lock the account: what was refused a moment ago is not tried again.

        Raises:
            HypervisorLoginFailed: this password was refused a moment ago.
        """
        refusal = self._refusal
        if refusal is None or refusal.password != password:
            return
        left = refusal.until - self._clock.monotonic()
        if left > 0:
            raise HypervisorLoginFailed(f"the account was refused; not tried again for {left:.0f} s")

    def _refused(self, password: Secret) -> HypervisorLoginFailed:
        last = self._refusal
        seconds = _FIRST_REFUSAL_SECONDS
        if last is not None and last.password == password:
            seconds = min(last.seconds * 2, _LONGEST_REFUSAL_SECONDS)
        self._refusal = _Refusal(password, self._clock.monotonic() + seconds, seconds)
        _LOG.error(
            "vSphere %s: %s refuses the account %r; next attempt in %.0f s, or when its password changes",
            self._name,
            self._settings.host,
            self._settings.username,
            seconds,
        )
        return HypervisorLoginFailed(f"{self._settings.host} refuses the account {self._settings.username!r}")

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.keep_alive_seconds)
            await self.keep_alive()

    async def keep_alive(self) -> None:
        """Tell the hypervisor that the login is in use; give it back where it has not been for long."""
        live = self._live
        if live is None:
            return
        if self._clock.monotonic() - self._used_at >= _IDLE_SECONDS:
            self._live = None
            await self._log_out(live.api)
            return
        try:
            await self._with(live, lambda call, api: api.touch(call))
        except SessionLost:
            if self._live is live:
                self._live = None
                live.api.close()
        except ProviderError as exc:
            _LOG.warning("vSphere %s: the session could not be kept alive: %s", self._name, exc)

    async def _log_out(self, api: Api) -> None:
        try:
            await self._pool.run(api.logout, _LOGOUT_SECONDS)
        except (SessionLost, ProviderError) as exc:
            _LOG.info("vSphere %s: no logout: %s", self._name, exc or "the session was lost before")
        finally:
            api.close()

    async def aclose(self) -> None:
        """Log out; whoever waits for a login gets an error. A second call does nothing."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        if self._coming is not None:
            await asyncio.wait([self._coming], timeout=_LOGOUT_SECONDS)
        live, self._live = self._live, None
        if live is not None:
            await self._log_out(live.api)
