"""Net: listening sockets that whoever started us has made: sd_listen_fds(3). Knows no HTTP.

systemd hands them over with a socket unit, so that a restart refuses no connection; the parent of several
workers does the same.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, MutableMapping

from consolekit.core.errors import ListenFailed

_FIRST = 3  # SD_LISTEN_FDS_START


def take_inherited(
    environment: MutableMapping[str, str], names: Collection[str]
) -> dict[str, list[socket.socket]]:
    """The sockets that were handed to this process, by name; none where nobody did.

    The variables are taken out of the environment: they are not for processes that we start.

    Args:
        environment: ``LISTEN_FDS`` says how many there are, from descriptor 3 on, ``LISTEN_FDNAMES`` what
            each is for, with colons between; ``LISTEN_PID``, where it is set, whom they are for.
        names: What sockets may be for (systemd.socket(5): ``FileDescriptorName=``).

    Raises:
        ListenFailed: a name is none of these, or what was handed over is no listening TCP or unix socket.
    """
    count = environment.pop("LISTEN_FDS", "")
    for_whom = environment.pop("LISTEN_PID", "")
    told = environment.pop("LISTEN_FDNAMES", "")
    if not count.isdecimal() or for_whom not in ("", str(os.getpid())):
        return {}
    called = told.split(":") if told else []
    found: dict[str, list[socket.socket]] = {}
    for place in range(int(count)):
        name = called[place] if place < len(called) else ""
        if name not in names:
            raise ListenFailed(
                f"descriptor {_FIRST + place} was handed over as {name or 'nothing'}; each needs one of the "
                f"names {', '.join(sorted(names))} (in a systemd socket unit: FileDescriptorName=)"
            )
        found.setdefault(name, []).append(_listening(_FIRST + place, name))
    return found


def _listening(descriptor: int, name: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as exc:
        raise ListenFailed(
            f"descriptor {descriptor}, handed over as {name}, is no socket: {exc.strerror}"
        ) from exc
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()  # it is not ours to close
        raise ListenFailed(f"descriptor {descriptor}, handed over as {name}, does not listen for connections")
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock
