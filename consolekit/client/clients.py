"""Client: the two clients, alike but for waiting: ``operations`` says what is sent, ``answers`` what is read.

Knows no HTTP library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from consolekit.client import operations
from consolekit.client.answers import ConnectInfo, Console, Offer, Redeemed, Session
from consolekit.client.operations import Gateway
from consolekit.client.transport import AwaitedTransport, BlockingTransport, Wire
from consolekit.core.types import ConsoleKey, Mode, Secret

SECONDS: Final = 30.0
"""Longer than a gateway waits for a provider and a store together."""

VNC: Final = ConsoleKey("vnc", "novnc")


class ConsoleClient:
    """Asks a gateway's API, and waits for the answer; from any thread, ended by ``close`` or ``with``.

    Every method raises what the gateway refused with: ``ApiProblem``, and where ``consolekit.core.errors``
    has a class for its code, that class too; ``ApiUnreachable`` where no answer came, ``UnexpectedAnswer``
    where it was none of such an API. Nothing is tried twice.

    Args:
        url: ``https://HOST[:PORT][/PATH]``, where ``api.listen`` is reached; ``http://`` on loopback only.
        key: The API key; None where the API asks for none.
        timeout: Seconds to connect, and for each wait on the network after that.
        ca_file: PEM file of the CAs that may have signed the API's certificate; default: the system's.

    Raises:
        ConfigError: an argument cannot be meant.
    """

    def __init__(
        self, url: str, key: Secret | None = None, *, timeout: float = SECONDS, ca_file: Path | None = None
    ) -> None:
        self._gateway = Gateway(url=url, key=key)
        self._send = BlockingTransport(Wire(self._gateway, timeout=timeout, ca_file=ca_file))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._gateway.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is connected."""
        self._send.close()

    def create(
        self,
        server_id: str,
        key: ConsoleKey = VNC,
        *,
        subject: str | None = None,
        mode: Mode = Mode.INTERACT,
        ttl_seconds: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Console:
        """Make a link to a server's console.

        Args:
            server_id: Which server.
            key: Which pair.
            subject: For whom; default: the API key's name.
            mode: Whether the viewer may do something there, or only look.
            ttl_seconds: How long the link may be opened, 1 to 600; default: as the gateway is configured.
            params: What else the pair takes.
        """
        call = operations.create(
            server_id, key, subject=subject, mode=mode, ttl_seconds=ttl_seconds, params=params
        )
        return self._send.send(call)

    def offers(self, server_id: str) -> list[Offer]:
        """Which consoles a server has now."""
        return self._send.send(operations.offers(server_id))

    def connect_info(self, server_id: str, key: ConsoleKey) -> ConnectInfo:
        """What a program needs to open a console by itself, past the gateway, where there is such a way."""
        return self._send.send(operations.connect_info(server_id, key))

    def revoke(self, grant_id: str) -> None:
        """Take a link back; its live session ends."""
        self._send.send(operations.revoke(grant_id))

    def sessions(self, server_id: str | None = None) -> list[Session]:
        """The live sessions that the key may see, oldest first; with ``server_id`` those of one server."""
        return self._send.send(operations.sessions(server_id))

    def kill(self, session_id: str) -> None:
        """End a live session; it cannot be resumed."""
        self._send.send(operations.kill(session_id))

    def redeem(self, token: Secret) -> Redeemed:
        """Use a token up, and learn where its console is; for keys with ``see_secrets``."""
        return self._send.send(operations.redeem(token))

    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema (2020-12) of a console request, with this site's pairs."""
        return self._send.send(operations.schema())


class AsyncConsoleClient:
    """The same as ``ConsoleClient``, awaited; in one event loop, ended by ``aclose`` or ``async with``.

    Args:
        url: ``https://HOST[:PORT][/PATH]``, where ``api.listen`` is reached; ``http://`` on loopback only.
        key: The API key; None where the API asks for none.
        timeout: Seconds to connect, and for each wait on the network after that.
        ca_file: PEM file of the CAs that may have signed the API's certificate; default: the system's.

    Raises:
        ConfigError: an argument cannot be meant.
    """

    def __init__(
        self, url: str, key: Secret | None = None, *, timeout: float = SECONDS, ca_file: Path | None = None
    ) -> None:
        self._gateway = Gateway(url=url, key=key)
        self._send = AwaitedTransport(Wire(self._gateway, timeout=timeout, ca_file=ca_file))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._gateway.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is connected."""
        await self._send.aclose()

    async def create(
        self,
        server_id: str,
        key: ConsoleKey = VNC,
        *,
        subject: str | None = None,
        mode: Mode = Mode.INTERACT,
        ttl_seconds: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Console:
        """Make a link to a server's console.

        Args:
            server_id: Which server.
            key: Which pair.
            subject: For whom; default: the API key's name.
            mode: Whether the viewer may do something there, or only look.
            ttl_seconds: How long the link may be opened, 1 to 600; default: as the gateway is configured.
            params: What else the pair takes.
        """
        call = operations.create(
            server_id, key, subject=subject, mode=mode, ttl_seconds=ttl_seconds, params=params
        )
        return await self._send.send(call)

    async def offers(self, server_id: str) -> list[Offer]:
        """Which consoles a server has now."""
        return await self._send.send(operations.offers(server_id))

    async def connect_info(self, server_id: str, key: ConsoleKey) -> ConnectInfo:
        """What a program needs to open a console by itself, past the gateway, where there is such a way."""
        return await self._send.send(operations.connect_info(server_id, key))

    async def revoke(self, grant_id: str) -> None:
        """Take a link back; its live session ends."""
        await self._send.send(operations.revoke(grant_id))

    async def sessions(self, server_id: str | None = None) -> list[Session]:
        """The live sessions that the key may see, oldest first; with ``server_id`` those of one server."""
        return await self._send.send(operations.sessions(server_id))

    async def kill(self, session_id: str) -> None:
        """End a live session; it cannot be resumed."""
        await self._send.send(operations.kill(session_id))

    async def redeem(self, token: Secret) -> Redeemed:
        """Use a token up, and learn where its console is; for keys with ``see_secrets``."""
        return await self._send.send(operations.redeem(token))

    async def schema(self) -> Mapping[str, Any]:
        """The JSON Schema (2020-12) of a console request, with this site's pairs."""
        return await self._send.send(operations.schema())
