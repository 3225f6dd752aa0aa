"""Net: closes a connection so that the peer can still read our last words. Knows no protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consolekit.net.channels import Channel

SECONDS = 1.0
ENOUGH = 1024 * 1024  # who sends more than that past a refusal does not listen anyway
_DROP_AT_ONCE = 16 * 1024


class Linger:
    """Says that no more comes, drops what the peer still sends for a moment (and not for long), closes.

    Closing at once, with bytes unread, makes our system answer them with a reset, and a reset lets the peer's
    system forget what we said (RFC 9112, 9.6).

    Args:
        channel: Ours alone; nobody watches it.
        on_closed: Called once, when it is closed.
    """

    __slots__ = ("_channel", "_left", "_loop", "_on_closed", "_scratch", "_timer")

    def __init__(self, channel: Channel, on_closed: Callable[[], None]) -> None:
        self._channel, self._on_closed = channel, on_closed
        self._loop = asyncio.get_running_loop()
        self._left = ENOUGH
        self._scratch = memoryview(bytearray(_DROP_AT_ONCE))
        self._timer = self._loop.call_later(SECONDS, self.close)
        self._loop.add_reader(channel.fileno(), self._drop)
        channel.shutdown_write()

    def close(self) -> None:
        """Close now; calling it again does nothing."""
        if self._timer.cancelled():
            return
        self._timer.cancel()
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        self._on_closed()

    def _drop(self) -> None:
        try:
            count = self._channel.recv_into(self._scratch)
            self._left -= count
            if count and self._left > 0:
                return
        except BlockingIOError:
            return
        except OSError:  # broken: as good as the end
            pass
        self.close()
