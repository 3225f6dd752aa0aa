"""CLI: a parent process that takes another's place: started on its listening sockets, heard when it serves.

The two share a pair of sockets. The successor writes to its own once it serves; if it ends before, the other
hears the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, MutableMapping, Sequence

from consolekit.cli.spawn import starting

_PREDECESSOR = "_CONSOLEKIT_PREDECESSOR_FD"  # not CONSOLEKIT_...: it is no setting
_START_SECONDS = 90.0  # its workers have 60


async def start_successor(
    arguments: Sequence[str], sockets: Sequence[tuple[str, socket.socket]]
) -> int | None:
    """Start the program as it is installed now; back when it serves, or will not.

    Args:
        arguments: The command line, without the program's name.
        sockets: What it listens on, each with its name.

    Returns:
        Its process; None where it does not serve, and has ended.

    Raises:
        OSError: there is no process, memory or descriptor for it.
    """
    ours, its = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with its:
            command, how = starting(arguments, sockets, link=(_PREDECESSOR, its.fileno()))
            # no asyncio process (ASYNC220): those end with the loop that has started them, and this one must
            # not; the command (S603) is our own interpreter and the arguments that we were started with
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)  # noqa: ASYNC220, S603
        if await _served(ours):
            return process.pid
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait)
    return None


async def _served(sock: socket.socket) -> bool:
    try:
        async with asyncio.timeout(_START_SECONDS):
            return await asyncio.get_running_loop().sock_recv(sock, 1) != b""
    except (TimeoutError, ConnectionError):
        return False


def predecessor_of(environment: MutableMapping[str, str]) -> Callable[[], None]:
    """How to tell whoever has started us to take its place that we serve; tells nobody where nobody has.

    The variable is taken out of the environment: it is not for processes that we start.
    """
    descriptor = environment.pop(_PREDECESSOR, "")

    def tell() -> None:
        if descriptor.isdecimal():
            with contextlib.suppress(BrokenPipeError):
                os.write(int(descriptor), b"1")
            os.close(int(descriptor))

    return tell
