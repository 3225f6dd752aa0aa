"""Proxy: one side of a relay: a channel, the one piece that waits for it, and what the loop watches.

Knows nothing of what the bytes mean, nor of the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consolekit.net.channels import Channel


class Side:
    """A channel under a relay.

    Args:
        channel: Whose side.
        on_readable: Called when there is something to read, or an end to be met.
        on_writable: Called when more can be written.

    Attributes:
        channel: As given.
        waiting: The piece that the channel has not taken yet.
        reading: Whether ``on_readable`` may be called. A callback that the loop had queued before the
            watch was given up still comes once: it asks this first.
        writing: The same for ``on_writable``.
        deaf: True when a write has failed. There may still be something to read.
        closed: True after ``close``.
        moved: Set whenever waiting bytes have begun to wait, or some of them went.
        stuck_since: Kept by ``Liveness``.
    """

    __slots__ = (
        "_descriptor",
        "_loop",
        "_on_readable",
        "_on_writable",
        "channel",
        "closed",
        "deaf",
        "moved",
        "reading",
        "stuck_since",
        "waiting",
        "writing",
    )

    channel: Channel
    closed: bool
    deaf: bool
    moved: bool
    reading: bool
    writing: bool

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: Channel,
        on_readable: Callable[[], None],
        on_writable: Callable[[], None],
    ) -> None:
        self._loop, self.channel = loop, channel
        self._descriptor = channel.fileno()
        self._on_readable, self._on_writable = on_readable, on_writable
        self.waiting: memoryview | None = None
        self.reading = self.writing = self.deaf = self.closed = self.moved = False
        self.stuck_since: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether bytes wait to be taken."""
        return not self.deaf and (self.waiting is not None or self.channel.unsent)

    def push(self, view: memoryview) -> bool:
        """Send; what does not go waits. Only while nothing waits already.

        Returns:
            True when all has gone; False when something waits now or the side is deaf.
        """
        if self.deaf:
            return False
        try:
            sent = self.channel.send(view)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._go_deaf()
            return False
        if sent == len(view) and not self.channel.unsent:
            return True
        self.moved = True
        if sent < len(view):
            self.waiting = memoryview(bytes(view[sent:]))
        return False

    def flush(self) -> bool:
        """Send what waits; True when nothing waits any more."""
        try:
            if self.channel.unsent:
                if not self.channel.flush():
                    return False
                self.moved = True
            if self.waiting is not None:
                self.waiting = self.waiting[self.channel.send(self.waiting) :] or None
                self.moved = True
        except BlockingIOError:
            return False
        except OSError:
            self._go_deaf()
        return not self.stuck

    def _go_deaf(self) -> None:
        self.deaf, self.waiting = True, None

    def watch(self, *, read: bool, write: bool) -> None:
        """Say what to be called for from now on."""
        if self.closed:
            return
        if write is not self.writing:
            self.writing = write
            if write:
                self._loop.add_writer(self._descriptor, self._on_writable)
            else:
                self._loop.remove_writer(self._descriptor)
        if read is not self.reading:
            self.reading = read
            if not read:
                self._loop.remove_reader(self._descriptor)
                return
            self._loop.add_reader(self._descriptor, self._on_readable)
            if self.channel.pending():  # lies in the channel already: the descriptor will not tell
                self._loop.call_soon(self._on_readable)

    def close(self) -> None:
        """Close the channel; calling it again does nothing."""
        self.watch(read=False, write=False)
        self.closed, self.waiting = True, None
        self.channel.close()
