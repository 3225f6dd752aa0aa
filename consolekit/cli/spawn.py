"""CLI: how this program is started anew, on sockets that it inherits (``net.inherited``). Knows no role."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

FIRST = 3  # SD_LISTEN_FDS_START
_PROGRAM = ("-P", "-c", "from consolekit.cli.main import main; main()")
#: Puts the descriptors where they are looked for, each out of the others' way first, and becomes the program.
_MOVE = f"""
import fcntl, os, sys
given = [int(text) for text in sys.argv[1].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, {FIRST} + len(given)) for fd in given]
for fd in given:
    os.set_inheritable(fd, False)
for place, fd in enumerate(high):
    os.dup2(fd, {FIRST} + place)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
#: Comes before that: leaves the rest to a child, which writes its number into the link, and ends.
_LEAVE = """
import os, sys
if os.fork():
    os._exit(0)
os.write(int(sys.argv[1].split(",")[-1]), b"%d" % os.getpid())
"""


def starting(
    arguments: Sequence[str],
    sockets: Sequence[tuple[str, socket.socket]],
    *,
    link: tuple[str, int],
    environment: Mapping[str, str] | None = None,
    orphan: bool = False,
) -> tuple[list[str], dict[str, Any]]:
    """How the program is started: the command, and what ``Popen`` and its like want to know besides.

    Args:
        arguments: The command line, without the program's name.
        sockets: What it listens on, each with its name.
        link: A pipe between it and us: the variable that names the descriptor there, and the descriptor here.
        environment: Variables besides ours.
        orphan: Whether the program is to be init's child. The process that is started ends at once then, and
            the number of the program's own is the first thing in the link.
    """
    variable, pipe = link
    variables = os.environ | {
        "LISTEN_FDS": f"{len(sockets)}",
        "LISTEN_FDNAMES": ":".join(name for name, _ in sockets),
        variable: f"{FIRST + len(sockets)}",
    }
    for name in ("LISTEN_PID", "WATCHDOG_PID"):
        variables.pop(name, None)
    descriptors = [*(sock.fileno() for _, sock in sockets), pipe]
    script = _LEAVE + _MOVE if orphan else _MOVE
    command = [sys.executable, "-P", "-c", script, ",".join(map(str, descriptors)), *_PROGRAM, *arguments]
    return command, {
        "env": {**variables, **(environment or {})},
        "pass_fds": descriptors,
        "start_new_session": True,  # Ctrl-C is the first parent's to pass on, once
    }
