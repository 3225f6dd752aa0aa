"""Auth: connections to one Redis, every answer in time, every trouble named. The one door to redis-py.

Knows redis-py's connections, and how scripts are called; knows no grant and no token.

- redis-py speaks (protocol, login, TLS); who uses a connection when is decided here. One goes back to the
  idle ones only after its whole answer was read: whatever a cancelled call leaves unread goes away with it
  (CVE-2023-28858 and -28859 were answers that reached the next caller).
- Nothing is repeated by itself: whether a call without an answer was obeyed, its caller decides.
- A reason comes from the error's class and code, never from its text: a server may quote commands in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisError

from consolekit.auth.base import STORE_SECONDS
from consolekit.auth.redisscripts import Script
from consolekit.auth.redissettings import RedisSettings
from consolekit.core.errors import ConsoleKitError, StoreUnavailable

_log = logging.getLogger(__name__)

CALL_SECONDS: Final = 0.9 * STORE_SECONDS
"""Deadline of one call: under ``STORE_SECONDS``, so that the reason is heard before that."""

_MOST_BUSY: Final = 16  # connections in use at once: a script takes Redis well under a millisecond
_IDLE_SECONDS: Final = 60.0  # a firewall may forget a silent connection without a word
_CODES: Final = re.compile(
    r"\b(LOADING|READONLY|OOM|MISCONF|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|CROSSSLOT|"
    r"WRONGTYPE|NOAUTH|NOPERM)\b"
)


class _Login(CredentialProvider):
    """Reads the password anew for every connection: it may have been changed."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._settings.password()
        return (self._settings.username, password) if self._settings.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class RedisLink:
    """Connections to one Redis, on one event loop. None is open before the first call.

    Args:
        settings: Where it is.
        greet: Called with each new connection, before its first use.
    """

    def __init__(
        self, settings: RedisSettings, greet: Callable[[AbstractConnection], Awaitable[None]]
    ) -> None:
        self._settings, self._greet = settings, greet
        self._room = asyncio.Semaphore(_MOST_BUSY)
        self._idle: list[tuple[float, AbstractConnection]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._troubles: set[str] = set()
        self._closed = False

    @asynccontextmanager
    async def answering(self, *, write: bool = False) -> AsyncIterator[None]:
        """Around all of one call: ends it in time, and says what is wrong in our words.

        Args:
            write: It changes something. Only that proves that a trouble is over: a replica can be read.

        Raises:
            StoreUnavailable: it could not be done.
        """
        if self._closed:
            raise StoreUnavailable("the token store is closed")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield
        except ConsoleKitError:  # some are OSErrors too
            raise
        except (RedisError, OSError, ValueError, asyncio.IncompleteReadError) as exc:
            # ValueError: an answer that is no UTF-8. TimeoutError is an OSError.
            if isinstance(exc, ValueError) and not isinstance(exc, UnicodeError):
                raise  # the caller's own
            await self._drop_idle()  # they lead to the same server; perhaps another one answers there now
            raise self.unavailable(_why(exc)) from None
        if write and self._troubles:
            self._troubles.clear()
            _log.warning("token store %s works again", self._settings)

    def unavailable(self, why: str) -> StoreUnavailable:
        """The error to raise; the log gets one line for each reason of an outage, not one for each call."""
        if why not in self._troubles:
            self._troubles.add(why)
            _log.error("token store %s is unavailable: %s", self._settings, why)
        return StoreUnavailable(f"token store {self._settings}: {why}")

    async def run(self, script: Script, base: str, *arguments: str | int) -> Any:
        """Run a script; inside ``answering``.

        Raises:
            RedisError: Redis refused, or is not there.
            OSError: it is not there.
        """
        async with self._connection() as connection:
            try:
                return await ask(connection, "EVALSHA", script.sha, 1, base, *arguments)
            except NoScriptError:  # a fresh server; nothing was run
                return await ask(connection, "EVAL", script.text, 1, base, *arguments)

    async def command(self, *words: str | int) -> Any:
        """Send one command; inside ``answering``.

        Raises:
            RedisError: Redis refused, or is not there.
            OSError: it is not there.
        """
        async with self._connection() as connection:
            return await ask(connection, *words)

    async def connect(self) -> AbstractConnection:
        """A new connection, logged in; whoever asked closes it.

        Raises:
            RedisError: Redis refused, or is not there.
            OSError: it is not there, or the password file is not.
        """
        connection = _connection(self._settings)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py says no type
            await self._greet(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        idle, self._idle = self._idle, []
        try:
            async with asyncio.timeout(CALL_SECONDS):
                for _, connection in idle:
                    await _end(connection, nowait=False)
        except TimeoutError:
            _log.debug("token store %s does not let go of a connection", self._settings)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        """A connection for this caller alone; it is used again only if nothing went wrong on it."""
        loop = asyncio.get_running_loop()
        async with self._room:
            connection = await self._take(loop)
            try:
                yield connection
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            if self._closed:
                await connection.disconnect(nowait=True)
            else:
                self._idle.append((loop.time(), connection))

    async def _take(self, loop: asyncio.AbstractEventLoop) -> AbstractConnection:
        """An idle connection that still stands, else a new one."""
        if loop is not self._loop:  # the one that the idle ones belong to has ended
            self._idle, self._loop = [], loop
        while self._idle:
            since, connection = self._idle.pop()  # the last one used: the others grow old and go
            if loop.time() < since + _IDLE_SECONDS and not await _is_stale(connection):
                return connection
            await _end(connection)
        return await self.connect()

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await _end(connection)


async def ask(connection: AbstractConnection, *words: str | int) -> Any:
    """Send a command and read its answer.

    Raises:
        RedisError: Redis refused, or the connection is lost.
    """
    await connection.send_command(*words)
    return await connection.read_response()


def _connection(settings: RedisSettings) -> AbstractConnection:
    options: dict[str, Any] = {
        "db": settings.db,
        "decode_responses": True,
        "protocol": 2,  # the same shape from every server and every redis-py
        # ``answering`` has the deadline; redis-py's wait_for loses cancellations before Python 3.12
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "credential_provider": _Login(settings) if settings.password_file else None,
    }
    if settings.path:
        return UnixDomainSocketConnection(path=settings.path, **options)
    options |= {"host": settings.host, "port": settings.port, "socket_keepalive": True}
    if not settings.tls:
        return Connection(**options)
    files = {
        "ssl_ca_certs": settings.ca_file,
        "ssl_certfile": settings.cert_file,
        "ssl_keyfile": settings.key_file or settings.cert_file,
    }
    options |= {name: str(path) for name, path in files.items() if path}
    return SSLConnection(ssl_cert_reqs="required", ssl_check_hostname=True, **options)


async def _is_stale(connection: AbstractConnection) -> bool:
    """Whether the server has closed it, or has sent what nobody asked for."""
    look: Any = getattr(connection, "can_read", None) or connection.can_read_destructive  # redis-py before 8
    try:
        return bool(await look())
    except (RedisError, OSError):
        return True


async def _end(connection: AbstractConnection, *, nowait: bool = True) -> None:
    try:
        await connection.disconnect(nowait=nowait)
    except (RedisError, OSError):
        pass


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _why(exc: BaseException) -> str:
    """The reason in our own words; of the server's text, one known code."""
    for each in _chain(exc):
        if isinstance(each, AuthenticationError):
            return "it refuses the login: look at the user in tokens.url and at tokens.password_file"
        # in a script it is told in a sentence, without the code
        if isinstance(each, NoPermissionError) or "user executing the script can't" in str(each):
            return "its user may not do what a token store does (NOPERM): see the documentation's ACL rule"
        if isinstance(each, RedisError) and (code := _code(each)):
            return f"it answers {code}"
    for each in _chain(exc):
        if isinstance(each, OSError) and not isinstance(each, TimeoutError):
            named = f"{each.filename}: " if each.filename else ""
            return f"it cannot be used: {named}{_said(each)}"
    if any(isinstance(each, TimeoutError) or type(each).__name__ == "TimeoutError" for each in _chain(exc)):
        return f"no answer within {STORE_SECONDS:g} s"
    if any(isinstance(each, asyncio.IncompleteReadError) for each in _chain(exc)):
        return "it closed the connection"
    return f"it failed: {type(exc).__name__}"


def _code(exc: RedisError) -> str:
    if type(exc).__name__ == "BusyLoadingError":  # redis-py cuts the code off, from these
        return "LOADING"
    by_class = {"ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "MovedError": "MOVED"}
    found = _CODES.search(str(exc))
    return by_class.get(type(exc).__name__, found.group() if found else "")


def _said(exc: OSError) -> str:
    """What the system says of it; never an address's or a certificate's text."""
    if message := getattr(exc, "verify_message", ""):
        return str(message)
    if type(exc) is OSError and exc.errno is None:  # asyncio, after several addresses
        return "Connection refused"
    if isinstance(exc, ConnectionError) and exc.errno:  # asyncio puts the address in the place of the reason
        return os.strerror(exc.errno)
    return exc.strerror or type(exc).__name__
