"""CLI: tells the service manager how we are: sd_notify(3). Knows no server.

A datagram to the socket that ``NOTIFY_SOCKET`` names; nothing happens where there is none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class ServiceManager:
    """Who started us and wants to be told; usually systemd, often nobody.

    Args:
        environment: Where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._beat = _watchdog_seconds(environment) / 2
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, **states: str) -> None:
        """Send states such as ``READY="1"``; a manager that is not there is no error."""
        if not self._address.startswith(("/", "@")):
            return
        text = "\n".join(f"{name}={value}" for name, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.connect(self._address.replace("@", "\0", 1))
                sender.send(text.encode())
        except OSError as exc:
            _log.warning("the service manager cannot be told %s: %s", "/".join(states), exc.strerror)

    def ready(self) -> None:
        """We serve; from now on the watchdog, where there is one, hears from the running loop."""
        self.tell(READY="1")
        if self._beat:
            self._tick(asyncio.get_running_loop())

    def stopping(self) -> None:
        """We end; the watchdog goes on hearing until ``close``."""
        self.tell(STOPPING="1")

    def reloading(self) -> None:
        """We read our configuration again; ``READY=1`` says when that is done (sd_notify(3))."""
        self.tell(RELOADING="1", MONOTONIC_USEC=f"{time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tell(WATCHDOG="1")
        self._timer = loop.call_later(self._beat, self._tick, loop)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long the manager waits for a sign of life; 0 where it does not (sd_watchdog_enabled(3))."""
    text = environment.get("WATCHDOG_USEC", "")
    if not text.isdecimal() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(text) / 1e6
