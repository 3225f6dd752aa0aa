"""Proxy: judges, once a tick, whether a relay's two sides are still there. Moves no byte, closes nothing.

Three clocks. *Stalled*: bytes wait and none of them is taken. *Ping*: the viewer was asked and does not
answer. *Silence*: a peer's system does not acknowledge what was sent; this one also works while the
viewer cannot be heard, because the server takes nothing and so the viewer is not read.
"""

from __future__ import annotations

from typing import Final, Protocol

from consolekit.proxy.side import Side

PING: Final = "ping"
_HUNG_UP_AFTER: Final = 1.0  # a server gets this long to take what a viewer sent before it left


class Deadlines(Protocol):
    """The part of ``RelaySettings`` that is judged by."""

    @property
    def ping_seconds(self) -> float:
        """Silence of the viewer after which it is asked."""

    @property
    def pong_seconds(self) -> float:
        """How long it may take to answer."""

    @property
    def stall_seconds(self) -> float:
        """How long a side may take nothing."""

    @property
    def idle_seconds(self) -> float:
        """How long the viewer may put nothing in; 0 is for ever."""


class Liveness:
    """One relay's clocks.

    Args:
        client: The viewer's side.
        server: The server's side.
        deadlines: In seconds.
        now: Monotonic time.

    Attributes:
        heard: Set by the relay whenever anything at all came from the viewer.
        last_input: When the viewer last put something in, to a tick.
    """

    __slots__ = (
        "_acked",
        "_asked_at",
        "_client",
        "_deadlines",
        "_heard_at",
        "_seen",
        "_sent",
        "_server",
        "heard",
        "last_input",
    )

    def __init__(self, client: Side, server: Side, deadlines: Deadlines, now: float) -> None:
        self._client, self._server, self._deadlines = client, server, deadlines
        self._heard_at = now
        self.last_input: float = now
        self._asked_at: float | None = None
        self._acked = 0
        self._seen = self._sent = 0
        self.heard: bool = False

    def tick(self, now: float, inputs: int, bytes_out: int) -> str:
        """Judge.

        Args:
            now: Monotonic time.
            inputs: How much the viewer has put in so far, in any measure that grows with it.
            bytes_out: Bytes sent to the viewer so far.

        Returns:
            ``""`` when all is well, ``PING`` when the viewer is to be asked, else the slug of an end.
        """
        limits = self._deadlines
        if inputs != self._seen:
            self._seen, self.last_input = inputs, now
        elif limits.idle_seconds and now - self.last_input >= limits.idle_seconds:
            return "idle"
        client_stuck = _stuck_for(self._client, now)
        server_stuck = _stuck_for(self._server, now)
        if max(client_stuck, server_stuck) >= limits.stall_seconds:
            return "stalled"
        if server_stuck >= _HUNG_UP_AFTER and self._client.channel.hung_up():
            return "viewer_gone"
        if bytes_out != self._sent:  # a server that speaks is there: its system need not be asked
            self._sent = bytes_out
        elif self._server.channel.silence() >= limits.ping_seconds + limits.pong_seconds:
            return "server_reset"
        return self._judge_viewer(now, bytes_out)

    def retract(self) -> None:
        """The viewer could not be asked; the next tick says so again."""
        self._asked_at = None

    def _judge_viewer(self, now: float, bytes_out: int) -> str:
        limits, client = self._deadlines, self._client
        if self.heard:
            self.heard, self._heard_at, self._asked_at = False, now, None
            return ""
        if client.channel.silence() >= limits.pong_seconds:
            return "ping_timeout"
        if self._asked_at is None:
            if now - self._heard_at >= limits.ping_seconds and not client.stuck:
                self._asked_at = now
                self._acked = bytes_out - client.channel.unacknowledged()
                return PING
            return ""
        if now - self._asked_at < limits.pong_seconds:
            return ""
        if client.stuck or self._server.stuck:  # the ping or its answer is behind other bytes: ask anew
            self._asked_at, self._heard_at = None, now
            return ""
        acked = bytes_out - client.channel.unacknowledged()
        if acked > self._acked:  # its system took what lay before the ping: slow, and alive
            self._asked_at, self._acked = now, acked
            return ""
        return "ping_timeout"


def _stuck_for(side: Side, now: float) -> float:
    """Seconds for which bytes have waited for this side and none went."""
    if not side.stuck:
        side.stuck_since = None
        return 0.0
    if side.moved or side.stuck_since is None:
        side.moved, side.stuck_since = False, now
    return now - side.stuck_since
