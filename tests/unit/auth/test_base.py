import inspect

import pytest

from consolekit.auth.base import AccessContext, TokenStore, TokenValidator
from consolekit.auth.life import GrantLife
from consolekit.core.types import Secret
from consolekit.testing import ManualClock, example_grant


class OnlyValidates(TokenValidator):
    async def inspect(self, token, context):
        return GrantLife(grant=example_grant(ManualClock()))

    async def validate(self, token, context):
        return example_grant(ManualClock())


async def test_a_validator_need_not_note_how_sessions_end():
    validator, grant = OnlyValidates(), example_grant(ManualClock())
    await validator.released(grant, "peer_closed", resumable=True)
    assert await validator.outcome(Secret("any"), AccessContext()) is None
    assert not validator.recognises(Secret("any"))


@pytest.mark.parametrize("contract", [TokenStore, TokenValidator])
def test_a_contract_is_not_an_implementation(contract):
    assert inspect.isabstract(contract)


@pytest.mark.parametrize("contract", [TokenStore, TokenValidator])
def test_everything_that_waits_is_async(contract):
    for name, member in vars(contract).items():
        if (
            inspect.isfunction(member)
            and not name.startswith("_")
            and name not in ("provider_names", "recognises")
        ):
            assert inspect.iscoroutinefunction(member), name


async def test_a_store_that_holds_nothing_need_not_close():
    class Store(TokenStore):
        pass

    Store.__abstractmethods__ = frozenset()
    assert await Store().aclose() is None
