import subprocess
import sys

import pytest

from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import TokenRefused
from consolekit.testing import ManualClock
from consolekit.testing.storechecks import StoreChecks, check, refused


class Closing(MemoryTokenStore):
    closed = 0

    async def aclose(self):
        type(self).closed += 1


class Example(StoreChecks):
    async def make_store(self, clock):
        return Closing(clock=clock)

    @check
    async def test_passes(self, store, clock):
        """Its words."""
        assert isinstance(store, Closing)
        assert isinstance(clock, ManualClock)

    @check
    async def test_fails(self, store, clock):
        raise AssertionError("on purpose")


def test_a_check_is_a_plain_test_method_under_its_own_name():
    assert Example.test_passes.__name__ == "test_passes"
    assert Example.test_passes.__doc__ == "Its words."
    assert Example().test_passes() is None


def test_the_store_is_closed_whatever_happens():
    before = Closing.closed
    with pytest.raises(AssertionError, match="on purpose"):
        Example().test_fails()
    assert Closing.closed == before + 1


def test_a_subclass_that_makes_no_store_is_told():
    class Empty(StoreChecks):
        test = Example.test_passes

    with pytest.raises(NotImplementedError, match="Empty must say"):
        Empty().test()


async def test_refused_wants_a_refusal():
    async def give():
        return "grant"

    async def refuse():
        raise TokenRefused("used")

    await refused(refuse(), "it")
    with pytest.raises(AssertionError, match="must be refused: it"):
        await refused(give(), "it")


def test_importing_the_kit_needs_no_test_library():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('pytest', 'hypothesis', 'tornado')));"
        "import consolekit.testing as kit; print(kit.TokenStoreContract.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "TokenStoreContract\n"
