"""The model by hand; Hypothesis drives it in tests/property."""

import pytest

from consolekit.auth.memory import MemoryTokenStore
from consolekit.testing import example_hash
from consolekit.testing.token_machine import TokenStoreMachine

A, KEY, OTHER = example_hash("a"), example_hash("key 1"), example_hash("key 2")


class Machine(TokenStoreMachine):
    async def make_store(self, clock):
        return MemoryTokenStore(clock=clock)


class Lax(Machine):
    async def make_store(self, clock):
        class Store(MemoryTokenStore):
            async def take(self, token_hash, *, resume_hash=""):
                return self._lives[token_hash].grant

        return Store(clock=clock)


@pytest.fixture
def run():
    made = []

    def make(kind):
        made.append(kind())
        return made[-1]

    yield make
    for machine in made:
        machine.teardown()


def test_the_model_agrees_with_a_right_store(run):
    machine = run(Machine)
    machine.put(A, "web-1", "ann", 10, 60)
    machine.take(A, KEY)
    machine.time_passes(9)
    machine.take(A, OTHER)
    machine.take(A, KEY)
    machine.release(A, "peer_closed", 30)
    machine.outcome(A, KEY)
    machine.lists_agree()
    machine.time_passes_to_a_boundary(A)
    machine.take(A, KEY)
    machine.purge()
    machine.lists_agree()
    assert machine.kept == {}


def test_the_model_does_not_agree_with_a_wrong_one(run):
    machine = run(Lax)
    machine.put(A, "web-1", "ann", 10, 60)
    machine.take(A, KEY)
    with pytest.raises(AssertionError, match="given"):
        machine.take(A, OTHER)


def test_a_machine_that_makes_no_store_is_told():
    with pytest.raises(NotImplementedError, match="TokenStoreMachine must say"):
        TokenStoreMachine()
