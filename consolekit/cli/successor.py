"""CLI: a parent process that takes another's place: started on its listening sockets, heard when it serves.

The two share a pair of sockets. The successor writes its process id to its own, and a byte once it serves; if
it ends before, the other hears the end. The end of the other's is the answer: the service manager knows who
serves now, and hears nobody else from then on.

The successor is init's child. systemd does not wait for a main process that is none of its own: ``stop``
would kill it at once, and every console with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, MutableMapping, Sequence

from consolekit.cli.spawn import starting

_PREDECESSOR = "_CONSOLEKIT_PREDECESSOR_FD"  # not CONSOLEKIT_...: it is no setting
_START_SECONDS = 90.0  # its workers have 60
_ANSWER_SECONDS = 10.0
_SERVES = b"."


async def start_successor(
    arguments: Sequence[str], sockets: Sequence[tuple[str, socket.socket]], tell: Callable[[int], None]
) -> int | None:
    """Start the program as it is installed now; back when it serves, or will not.

    Args:
        arguments: The command line, without the program's name.
        sockets: What it listens on, each with its name.
        tell: Called with its process once it serves, before it is let to speak to the service manager.

    Returns:
        Its process; None where it does not serve, and has ended.

    Raises:
        OSError: there is no process, memory or descriptor for it.
    """
    ours, its = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with its:
            command, how = starting(arguments, sockets, link=(_PREDECESSOR, its.fileno()), orphan=True)
            # no asyncio process (ASYNC220): those end with the loop that has started them, and this one must
            # not; the command (S603) is our own interpreter and the arguments that we were started with
            starter = subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)  # noqa: ASYNC220, S603
        await asyncio.to_thread(starter.wait)
        process = await _served(ours)
        if process is not None:
            tell(process)
        return process


async def _served(sock: socket.socket) -> int | None:
    """Its process once it serves; None once it has ended, which it is told to if it takes too long."""
    with contextlib.suppress(EOFError):
        heard = await _piece(sock)  # its number: it begins with that
        process = int(heard.removesuffix(_SERVES))
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not heard.endswith(_SERVES):
                    heard = await _piece(sock)
            return process
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            while True:
                await _piece(sock)
    return None


async def _piece(sock: socket.socket) -> bytes:
    try:
        piece = await asyncio.get_running_loop().sock_recv(sock, 100)
    except ConnectionError:
        piece = b""
    if not piece:
        raise EOFError
    return piece


def predecessor_of(environment: MutableMapping[str, str]) -> Callable[[], Awaitable[None]]:
    """How to tell whoever has started us to take its place that we serve; tells nobody where nobody has.

    It is back when the other has told the service manager about us. The variable is taken out of the
    environment: it is not for processes that we start.
    """
    descriptor = environment.pop(_PREDECESSOR, "")

    async def tell() -> None:
        if not descriptor.isdecimal():
            return
        with socket.socket(fileno=int(descriptor)) as link:
            link.setblocking(False)
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await asyncio.get_running_loop().sock_sendall(link, _SERVES)
                    await asyncio.get_running_loop().sock_recv(link, 1)

    return tell
