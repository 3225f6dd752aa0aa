"""Testing: places where a hypervisor should be and is not: one that says nothing, nonsense, or is not there.

A thread of its own answers, so that whoever blocks the event loop is still cut off at last.
"""

from __future__ import annotations

import enum
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_NONSENSE = b"\xff\xfe\x00<html>{]\r\n\x00\x7f" * 40
_POLL_SECONDS = 0.05


class Manner(enum.Enum):
    """What such a place does."""

    SILENT = "accepts, and never answers"
    NONSENSE = "answers bytes that mean nothing, and closes"
    GONE = "refuses connections"


class BadPlace:
    """One TCP port on loopback, until the block ends.

    Args:
        manner: What it does.
        patience: Seconds that a visitor's event loop has to notice its visit to one that is silent.
        visited: Called in the place's own thread when somebody comes.
        noticed: Whether the event loop has seen that; where it has not, it is blocked, and its visitors are
            cut off so that it goes on.

    Attributes:
        manner: What it does.
        host: Its address.
        port: Its port.
        lost_patience: True once it has cut visitors off.
    """

    host: str
    manner: Manner
    port: int

    def __init__(
        self,
        manner: Manner,
        *,
        patience: float = 5.0,
        visited: Callable[[], object] = lambda: None,
        noticed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.manner, self._patience = manner, patience
        self._visited, self._noticed = visited, noticed
        self._listener = socket.create_server(("127.0.0.1", 0)) if manner is not Manner.GONE else _unheard()
        self.host, self.port = self._listener.getsockname()
        self.lost_patience: bool = False
        self._ends = threading.Event()
        self._visitors: dict[socket.socket, float] = {}
        self._thread = threading.Thread(target=self._serve, name=f"place that {manner.value}", daemon=True)

    def __enter__(self) -> Self:
        if self.manner is not Manner.GONE:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ends.set()
        if self.manner is not Manner.GONE:
            self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ends.is_set():
                if selector.select(_POLL_SECONDS):
                    self._welcome()
                self._cut_off()
        for visitor in self._visitors:
            visitor.close()

    def _welcome(self) -> None:
        visitor, _ = self._listener.accept()
        self._visited()
        if self.manner is Manner.SILENT:
            self._visitors[visitor] = time.monotonic()
            return
        with visitor:
            try:
                visitor.sendall(_NONSENSE)
                visitor.shutdown(socket.SHUT_WR)
            except OSError:  # it has gone first
                return

    def _cut_off(self) -> None:
        late = [v for v, since in self._visitors.items() if time.monotonic() - since > self._patience]
        if late and not self._noticed():
            self.lost_patience = True
            for visitor in late:
                del self._visitors[visitor]
                visitor.close()


def _unheard() -> socket.socket:
    """A socket that has its port and does not listen: connections are refused, and nobody else takes it."""
    unheard = socket.socket()
    try:
        unheard.bind(("127.0.0.1", 0))
    except OSError:
        unheard.close()
        raise
    return unheard
