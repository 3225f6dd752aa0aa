"""Client: a request over HTTP: the one door to httpx2. Knows no operation.

Transports, not httpx2's clients: those follow the environment's proxies and log whole URLs, and one of ours
holds a token. Nothing is tried twice: making a link twice makes two links.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from consolekit.client.operations import Call, Gateway
from consolekit.client.problems import ApiUnreachable, UnexpectedAnswer
from consolekit.core.errors import ConfigError, ConsoleKitError, MalformedRequest, Problem

try:
    import httpx2
except ImportError as _exc:  # pragma: no cover - the extra is there where tests run
    raise ImportError(
        "consolekit.client needs an HTTP client; install it with: pip install 'consolekit[client]'"
    ) from _exc

T = TypeVar("T")
MOST_BYTES: Final = 32 * 1024 * 1024
"""The longest answer that is read: some 80,000 sessions."""


class Wire:
    """What both transports share: requests made, answers read, failures told.

    Args:
        gateway: Where the API is.
        timeout: Seconds to connect, and for each wait on the network after that.
        ca_file: PEM file of the CAs that may have signed the API's certificate; default: the system's.

    Raises:
        ConfigError: ``ca_file`` cannot be used, or ``timeout`` is not positive.
    """

    def __init__(self, gateway: Gateway, *, timeout: float, ca_file: Path | None) -> None:
        if not timeout > 0:
            raise ConfigError([Problem("timeout", "must be more than 0 seconds")])
        self._gateway, self._timeout = gateway, timeout
        self.tls: ssl.SSLContext = _tls(ca_file)

    def request(self, call: Call[Any]) -> httpx2.Request:
        """The request of a call.

        Raises:
            MalformedRequest: an id is longer than any address may be.
        """
        try:
            return httpx2.Request(
                call.method,
                self._gateway.url + call.target,
                headers=self._gateway.headers(call),
                content=call.body,
                extensions={"timeout": httpx2.Timeout(self._timeout).as_dict()},
            )
        except httpx2.InvalidURL:
            raise MalformedRequest("what is asked for makes an address that is too long") from None

    def failure(self, exc: Exception) -> ConsoleKitError:
        """What to raise for a failure below HTTP; its chain is not kept, for it may hold the request."""
        if isinstance(exc, httpx2.TimeoutException):
            why = f"no answer within {self._timeout:g} s"
        elif isinstance(exc, httpx2.RemoteProtocolError | httpx2.DecodingError):
            return UnexpectedAnswer("what answered does not speak HTTP as it should")
        else:
            why = str(exc) or type(exc).__name__
        return ApiUnreachable(f"{self._gateway.url}: {why}")


class Body:
    """The answer's body, as long as it is not too long."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            UnexpectedAnswer: it is too much.
        """
        self._data += piece
        if len(self._data) > MOST_BYTES:
            raise UnexpectedAnswer(f"the answer is longer than {MOST_BYTES} bytes")

    def result(self, call: Call[T], response: httpx2.Response) -> T:
        """What the whole answer says."""
        return call.result(response.status_code, _lower(response.headers), bytes(self._data))


class BlockingTransport:
    """Sends requests and waits; from any thread.

    Args:
        wire: What to send, and where.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = httpx2.HTTPTransport(verify=wire.tls, trust_env=False)

    def send(self, call: Call[T]) -> T:
        """Send, and read the answer."""
        try:
            response = self._http.handle_request(self._wire.request(call))
            body = Body()
            try:
                for piece in response.iter_raw():
                    body.add(piece)
            finally:
                response.close()
        except (httpx2.TransportError, OSError) as exc:
            raise self._wire.failure(exc) from None
        return body.result(call, response)

    def close(self) -> None:
        """Close what is connected."""
        self._http.close()


class AwaitedTransport:
    """The same, awaited; in one event loop.

    Args:
        wire: What to send, and where.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = httpx2.AsyncHTTPTransport(verify=wire.tls, trust_env=False)

    async def send(self, call: Call[T]) -> T:
        """Send, and read the answer."""
        try:
            response = await self._http.handle_async_request(self._wire.request(call))
            body = Body()
            try:
                async for piece in response.aiter_raw():
                    body.add(piece)
            finally:
                await response.aclose()
        except (httpx2.TransportError, OSError) as exc:
            raise self._wire.failure(exc) from None
        return body.result(call, response)

    async def aclose(self) -> None:
        """Close what is connected."""
        await self._http.aclose()


def _lower(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError([Problem("ca_file", f"{ca_file}: holds no certificate in PEM")]) from None
    except OSError as exc:
        raise ConfigError([Problem("ca_file", f"{ca_file}: {exc.strerror}")]) from None
