"""Proxy: an endpoint becomes a connected channel. Knows sockets and deadlines; knows no console protocol."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consolekit.core.errors import (
    ConnectFailed,
    ConnectTimeout,
    ConsoleUnavailable,
    EndpointRefused,
    HostnameMismatch,
)
from consolekit.core.types import Endpoint, TlsPolicy, Transport
from consolekit.net.channels import Channel, SocketChannel, TlsChannel, start_tls
from consolekit.net.sockets import OUT_OF_DESCRIPTORS
from consolekit.proxy.tls import check_pin, context_for

_STAGGER = 0.25  # seconds before the next address is tried beside the last (RFC 8305, 8)
_RESOLVERS = 32
# Its own: while a name server is silent, lookups hold threads that others need (stores, password files).
_resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="consolekit-resolver")
_Address = tuple[socket.AddressFamily, Any]  # what lies behind the family is as the system gave it


async def connect(endpoint: Endpoint, *, seconds: float) -> Channel:
    """Connect to the endpoint, with TLS where its transport says so.

    Args:
        endpoint: Where.
        seconds: Deadline for all of it: name, connection, TLS.

    Raises:
        ConnectFailed: refused, unreachable, name unknown, socket missing.
        ConsoleUnavailable: this process may have no more sockets.
        ConnectTimeout: not done within the deadline.
        EndpointRefused: none of its addresses is in the allowed networks.
        CertificateRefused: the certificate is not the right one.
        HandshakeError: the other side does not speak TLS.
    """
    try:
        async with asyncio.timeout(seconds):
            sock = await _connect(endpoint)
            if endpoint.transport not in (Transport.TLS, Transport.WSS):
                return SocketChannel(sock)
            return await secure(sock, endpoint.tls, endpoint.host)
    except TimeoutError as exc:
        raise ConnectTimeout(f"{endpoint.address}: no connection within {seconds:g} s") from exc


async def secure(sock: socket.socket, policy: TlsPolicy, host: str, *, anonymous: bool = False) -> TlsChannel:
    """Begin TLS on a connected socket and see that the certificate is right; closes the socket if not.

    Args:
        sock: Connected, non-blocking, with nothing unread that is not TLS.
        policy: Which certificate is right.
        host: The name it must carry, unless the policy names another.
        anonymous: No certificate at all: only what the operator allowed by name.

    Raises:
        CertificateRefused: it is not the right one.
        HandshakeError: the other side does not speak TLS.
    """
    name = policy.server_name or host
    try:
        context = context_for(policy, anonymous=anonymous)
        channel = await start_tls(sock, context, server_hostname=name or None)
        if not anonymous:
            check_pin(policy, channel.peer_certificate())
    except ValueError as exc:  # ssl's own answer to no name, or to one that no certificate can carry
        sock.close()
        raise HostnameMismatch("there is no host name that a certificate could be checked for") from exc
    except BaseException:
        sock.close()
        raise
    return channel


async def _connect(endpoint: Endpoint) -> socket.socket:
    try:
        if endpoint.transport is Transport.UNIX:
            return await _attempt((socket.AF_UNIX, endpoint.path))
        addresses = _allowed(await _addresses(endpoint.host, endpoint.port), endpoint)
        if len(addresses) == 1:  # the usual case, and nobody to race against
            return await _attempt(addresses[0])
        return await _race(_interleave(addresses))
    except OSError as exc:
        reason = exc.strerror or str(exc)
        if exc.errno in OUT_OF_DESCRIPTORS:  # our lack, not the server's
            raise ConsoleUnavailable(f"no connection to {endpoint.address}: {reason}") from exc
        raise ConnectFailed(f"{endpoint.address}: {reason}") from exc
    except (ValueError, OverflowError) as exc:  # a name that is none (IDNA, NUL), a port beyond 65535
        raise ConnectFailed(f"{endpoint.address}: this is no address") from exc


async def _addresses(host: str, port: int) -> list[_Address]:
    """Look a name up; an address is taken as it is, so that it works while no name does."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        found = await asyncio.get_running_loop().run_in_executor(
            _resolvers, functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        )
        return [(family, address) for family, _, _, _, address in found]
    if "%" in host:  # a scope is the system's to read
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(family, address) for family, _, _, _, address in found]
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


def _allowed(addresses: Sequence[_Address], endpoint: Endpoint) -> Sequence[_Address]:
    """The addresses inside the endpoint's networks, judged as resolved: however the host was written."""
    if not endpoint.allowed_networks:
        return addresses
    try:
        networks = [ipaddress.ip_network(text, strict=False) for text in endpoint.allowed_networks]
    except ValueError as exc:
        raise EndpointRefused(f"{endpoint.address}: an allowed network is none") from exc
    inside = [entry for entry in addresses if _is_inside(entry[1][0], networks)]
    if not inside:
        raise EndpointRefused(f"{endpoint.address}: not in the allowed networks")
    return inside


def _is_inside(text: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.version == 6 and address.ipv4_mapped is not None:  # the packets go to the IPv4 address
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _interleave(addresses: Sequence[_Address]) -> list[_Address]:
    """The resolver's order, alternating between families (RFC 8305, 4)."""
    first = [entry for entry in addresses if entry[0] == addresses[0][0]]
    second = [entry for entry in addresses if entry[0] != addresses[0][0]]
    mixed: list[_Address] = []
    while first or second:
        mixed.extend(queue.pop(0) for queue in (first, second) if queue)
    return mixed


async def _race(addresses: Sequence[_Address]) -> socket.socket:
    """Happy eyeballs: each address a moment after the last, the first that connects wins (RFC 8305, 5)."""
    loop = asyncio.get_running_loop()
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failure = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_attempt(waiting.pop(0))))
            done, running = await asyncio.wait(
                running,
                timeout=_STAGGER if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner, losers = _sort(done)
            if winner is not None:
                return winner
            failure = losers[-1] if losers else failure
        raise failure
    finally:
        await _abandon(running)


def _sort(
    done: set[asyncio.Task[socket.socket]],
) -> tuple[socket.socket | None, list[OSError]]:
    """The first socket of what is done (a second one is closed), and the failures."""
    winner: socket.socket | None = None
    failures: list[OSError] = []
    for task in done:
        error = task.exception()
        if isinstance(error, OSError):
            failures.append(error)
        elif error is not None:
            raise error
        elif winner is None:
            winner = task.result()
        else:
            task.result().close()
    return winner, failures


async def _abandon(tasks: set[asyncio.Task[socket.socket]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


async def _attempt(address: _Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
