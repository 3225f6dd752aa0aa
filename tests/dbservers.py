"""Test support: what a database server started by a test needs: a user that is not root, and a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from pathlib import Path

from parts import missing, require


def as_user(name: str, folder: Path) -> list[str]:
    """What to put before a command so that it runs as that user, who from now on owns the folder."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam(name)
    except KeyError:
        missing(f"the user {name} does not exist: its Debian package makes it")
    shutil.chown(folder, name, name)
    for inner in folder.rglob("*"):
        shutil.chown(inner, name, name)
    return [require("setpriv", "util-linux"), f"--reuid={name}", f"--regid={name}", "--clear-groups"]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
