"""net.pending: the counts, who is let go and in which order, and how often anybody is asked."""

from __future__ import annotations

import pytest

from consolekit.core.networks import Networks
from consolekit.net.pending import Pending

ONE, OTHER, PROXY = "192.0.2.1", "192.0.2.2", "192.0.2.9"


class Connection:
    """Counted from its making until it is closed."""

    def __init__(self, pending: Pending, address: str = ONE) -> None:
        self.pending, self.address = pending, address
        self.busy = self.closed = False
        self.asked = 0
        pending.add(address)

    @property
    def idle(self) -> bool:
        self.asked += 1
        return not (self.busy or self.closed)

    def close(self) -> None:
        self.closed = True
        self.pending.goes_on(self)
        self.pending.forget(self.address)

    def rests(self) -> Connection:
        self.pending.rests(self, self.address)
        return self


def crowd(pending: Pending, count: int, address: str = ONE) -> list[Connection]:
    return [Connection(pending, address) for _ in range(count)]


def test_who_is_not_idle_keeps_its_place():
    pending = Pending(5, 3)
    first = crowd(pending, 3)
    assert pending.refusal(ONE) == "pending_per_address"
    assert pending.refusal(OTHER) == ""
    second = crowd(pending, 2, OTHER)
    assert pending.refusal(OTHER) == "pending"
    assert pending.total == 5
    assert not any(one.closed or one.asked for one in first + second)


def test_the_one_of_the_same_address_that_has_been_idle_longest_goes():
    pending = Pending(100, 3)
    stranger = Connection(pending, OTHER).rests()
    a, b, c = crowd(pending, 3)
    for one in b, c, a:
        one.rests()
    for goes in b, c, a:
        assert pending.refusal(ONE) == ""
        assert goes.closed
        assert pending.total == 3
        Connection(pending)
    assert pending.refusal(ONE) == "pending_per_address"
    assert not stranger.closed


def test_of_all_the_one_that_has_been_idle_longest_goes_where_the_total_is_reached():
    pending = Pending(3, 3)
    a, b, c = Connection(pending, ONE), Connection(pending, OTHER), Connection(pending, PROXY)
    for one in c, a, b:
        one.rests()
    for goes in c, a, b:
        assert pending.refusal("198.51.100.1") == ""
        assert goes.closed
        assert pending.total == 2
        Connection(pending, "198.51.100.1")
    assert pending.refusal("198.51.100.2") == "pending"


def test_who_has_too_many_takes_no_strangers_place():
    pending = Pending(4, 3)
    stranger = Connection(pending, OTHER).rests()
    mine = crowd(pending, 3)
    assert pending.refusal(ONE) == "pending_per_address"
    assert not stranger.closed
    mine[1].rests()
    assert pending.refusal(ONE) == ""  # its own makes room in the total, too
    assert (mine[1].closed, stranger.closed, pending.total) == (True, False, 3)


def test_a_request_that_has_come_moves_it_to_the_end():
    pending = Pending(100, 2)
    a, b = [one.rests() for one in crowd(pending, 2)]
    pending.goes_on(a)
    a.rests()
    assert pending.refusal(ONE) == ""
    assert (a.closed, b.closed) == (False, True)


def test_who_turns_out_to_be_busy_is_asked_once_and_not_again_until_it_rests():
    pending = Pending(100, 5)
    connections = [one.rests() for one in crowd(pending, 5)]
    for one in connections:
        one.busy = True
    for _ in range(10):
        assert pending.refusal(ONE) == "pending_per_address"
    assert [one.asked for one in connections] == [1] * 5
    connections[3].busy = False
    connections[3].rests()
    assert pending.refusal(ONE) == ""
    assert [one.closed for one in connections] == [False, False, False, True, False]


def test_one_that_is_gone_already_makes_no_room_twice():
    pending = Pending(100, 2)
    a, b = [one.rests() for one in crowd(pending, 2)]
    a.closed = True  # closing takes a while: it counts until it is over
    assert pending.refusal(ONE) == ""
    assert (b.closed, pending.total) == (True, 1)
    a.close()
    pending.goes_on(a)
    assert pending.total == 0


def test_an_exempt_address_has_no_limit_of_its_own():
    pending = Pending(4, 1, Networks.parse([PROXY]))
    first, *_ = crowd(pending, 4, PROXY)
    assert pending.refusal_of_one(PROXY) == ""
    assert pending.refusal(PROXY) == "pending"
    first.rests()
    assert pending.refusal(PROXY) == ""
    assert first.closed


def test_who_is_in_the_total_already_is_held_to_its_own_limit_alone():
    pending = Pending(3, 2)
    crowd(pending, 1, PROXY)
    a, _ = crowd(pending, 2)
    assert pending.refusal_of_one(OTHER) == ""
    assert pending.refusal_of_one(ONE) == "pending_per_address"
    a.rests()
    assert pending.refusal_of_one(ONE) == ""
    assert (a.closed, pending.total) == (True, 2)


@pytest.mark.parametrize("busy", [False, True])
def test_all_idle_ones_can_be_let_go(busy):
    pending = Pending(100, 100)
    connections = crowd(pending, 3) + crowd(pending, 3, OTHER)
    for one in connections[1:5]:
        one.rests()
    connections[2].busy = busy
    pending.let_idle_go()
    assert [one.closed for one in connections] == [False, True, not busy, True, True, False]
    assert pending.total == 2 + busy
