"""The contract as a class; that it catches wrong stores is shown in tests/contract."""

from consolekit.testing import TokenStoreContract
from consolekit.testing.token_orders import OrderChecks

NAMES = [name for name in dir(TokenStoreContract) if name.startswith("test_")]


def test_every_check_has_a_name_and_words_of_its_own():
    words = [getattr(TokenStoreContract, name).__doc__ for name in NAMES]
    assert all(words)
    assert len(set(words)) == len(NAMES)
    assert all(getattr(TokenStoreContract, name).__name__ == name for name in NAMES)


def test_it_is_not_collected_where_it_is_imported():
    """pytest collects classes whose names begin with Test; only subclasses shall run."""
    assert not TokenStoreContract.__name__.startswith("Test")
    assert issubclass(TokenStoreContract, OrderChecks)
