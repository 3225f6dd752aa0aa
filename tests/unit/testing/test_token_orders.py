import pytest

from consolekit.auth.memory import MemoryTokenStore
from consolekit.testing import TokenStoreContract


class Deaf(MemoryTokenStore):
    """Keeps no revocation for its readers."""

    async def revocations(self, after):
        return max(after, 0), []


class Repeating(MemoryTokenStore):
    """Gives its readers everything, every time."""

    async def revocations(self, after):
        return await super().revocations(min(after, 0))


class Hoarding(MemoryTokenStore):
    """Lists owners that nobody has heard of for long."""

    async def sessions(self):
        return [info for _, kept in self._sessions.values() for info in kept.values()]


@pytest.mark.parametrize(
    ("store", "name"),
    [
        (Deaf, "test_a_waiting_reader_hears_a_revocation"),
        (Deaf, "test_a_cursor_of_an_earlier_life_gets_everything"),
        (Repeating, "test_revocations_come_once_and_in_order"),
        (Hoarding, "test_silent_owners_are_gone"),
    ],
)
def test_the_check_catches_its_fault(store, name):
    class Contract(TokenStoreContract):
        async def make_store(self, clock):
            return store(clock=clock)

    with pytest.raises(AssertionError):
        getattr(Contract(), name)()
