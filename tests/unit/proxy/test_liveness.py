"""The clocks of a relay, second by second, over sides that are as the test says."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from consolekit.proxy.liveness import PING, Liveness
from consolekit.proxy.relay import RelaySettings


class Side:
    """What ``Liveness`` sees of a side."""

    def __init__(self) -> None:
        self.stuck = self.moved = False
        self.stuck_since = None
        self.unacknowledged, self.silence, self.hung_up = 0, 0.0, False
        self.channel = SimpleNamespace(
            unacknowledged=lambda: self.unacknowledged,
            silence=lambda: self.silence,
            hung_up=lambda: self.hung_up,
        )

    def jam(self) -> None:
        self.stuck = self.moved = True


class Watch:
    """A ``Liveness`` and its clock."""

    def __init__(self, **settings) -> None:
        self.client, self.server = Side(), Side()
        self.now, self.bytes_in, self.bytes_out = 100.0, 0, 0
        self.life = Liveness(self.client, self.server, RelaySettings(**settings), self.now)  # type: ignore[arg-type]

    def run(self, seconds: int) -> list[tuple[int, str]]:
        """What it says, and after how many seconds."""
        said = []
        for second in range(1, seconds + 1):
            self.now += 1
            verdict = self.life.tick(self.now, self.bytes_in, self.bytes_out)
            if verdict:
                said.append((second, verdict))
        return said


def test_a_viewer_that_answers_is_asked_again_and_again():
    watch, asked = Watch(), []
    for second in range(100):
        if watch.run(1):
            asked.append(second)
            watch.life.heard = True
    assert [later - earlier for earlier, later in itertools.pairwise(asked)] == [16] * 5


def test_a_viewer_that_is_heard_is_not_asked():
    watch = Watch()
    for _ in range(100):
        watch.life.heard = True
        assert watch.run(1) == []


def test_no_answer():
    assert Watch().run(31)[:2] == [(15, PING), (30, "ping_timeout")]
    watch = Watch()
    assert watch.run(15) == [(15, PING)]
    watch.bytes_out, watch.client.unacknowledged = 5000, 5002  # what the server went on to say, and the ping
    assert watch.run(15) == [(15, "ping_timeout")]
    assert Watch(ping_seconds=3, pong_seconds=2).run(6)[:2] == [(3, PING), (5, "ping_timeout")]


def test_no_answer_because_all_is_slow():
    """Megabytes are on their way before the ping: as long as they are acknowledged, the viewer lives."""
    watch = Watch()
    watch.client.unacknowledged = 4_000_000
    assert watch.run(29) == [(15, PING)]
    watch.client.unacknowledged = 3_000_000
    assert watch.run(15) == []
    watch.client.unacknowledged = 2_000_000
    assert watch.run(15) == []
    assert watch.run(1) == [(1, "ping_timeout")]


def test_a_viewer_whose_system_does_not_acknowledge():
    watch = Watch()
    watch.client.jam()
    assert watch.run(14) == []
    watch.client.silence = 15.0
    assert watch.run(1) == [(1, "ping_timeout")]


def test_a_viewer_that_dies_while_the_server_is_stuck():
    """It cannot be heard; the ping that went out is not acknowledged. 45 s is the promise."""
    watch = Watch()
    watch.server.jam()
    assert watch.run(15) == [(15, PING)]
    for second in range(1, 31):
        watch.client.silence = float(second)
        if said := watch.run(1):
            assert said == [(1, "ping_timeout")]
            assert 15 + second <= 45
            return
    pytest.fail("not noticed")


def test_a_viewer_that_cannot_be_heard_is_not_blamed():
    """The server takes nothing, so the answer is not read; the viewer's system acknowledges."""
    watch = Watch()
    watch.server.jam()
    assert {verdict for _, verdict in watch.run(59)} == {PING}
    assert (watch.run(3)[-1])[1] == "stalled"


@pytest.mark.parametrize("which", ["client", "server"])
def test_stalled(which):
    watch = Watch(stall_seconds=60)
    watch.life.heard = True
    side = getattr(watch, which)
    side.jam()
    said = [entry for entry in watch.run(62) if entry[1] != PING]
    assert said[0] == (61, "stalled")


def test_a_byte_of_progress_starts_the_clock_anew():
    watch = Watch(ping_seconds=1000)
    watch.client.jam()
    for _ in range(5):
        assert watch.run(50) == []
        watch.client.moved = True
    watch.client.stuck = False
    assert watch.run(50) == []
    watch.client.jam()
    assert watch.run(50) == []


def test_a_viewer_that_hangs_up_behind_a_stuck_server():
    watch = Watch()
    watch.server.jam()
    watch.client.hung_up = True
    assert watch.run(3)[0] == (2, "viewer_gone")


def test_hanging_up_is_read_in_order_where_it_can_be_read():
    watch = Watch()
    watch.client.hung_up = True
    assert watch.run(10) == []


def test_a_server_that_fell_silent():
    watch = Watch()
    watch.server.silence = 29.0
    watch.life.heard = True
    assert watch.run(1) == []
    watch.server.silence = 30.0
    assert watch.run(1) == [(1, "server_reset")]


def test_idle_is_never_by_default_and_counts_payload():
    watch = Watch(idle_seconds=100, ping_seconds=10_000)
    assert watch.run(99) == []
    watch.bytes_in = 5
    assert watch.run(1) == []
    assert watch.life.last_input == 200.0
    watch.life.heard = True
    assert watch.run(100)[0] == (100, "idle")
    assert Watch(ping_seconds=10_000).run(5000) == []


def test_a_side_that_is_heard_is_not_asked_of_the_system():
    """A thousand busy sessions would otherwise be two thousand system calls a second, for nothing."""
    watch = Watch()
    watch.server.silence = watch.client.silence = 100.0
    for _ in range(5):
        watch.bytes_out += 1
        watch.life.heard = True
        assert watch.run(1) == []
    watch.life.heard = True
    assert watch.run(1) == [(1, "server_reset")]
