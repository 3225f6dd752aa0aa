"""testing.validatorchecks: what the checks of validators are made with."""

from __future__ import annotations

import logging
import uuid

import pytest
from tokentable import TableContract

from consolekit.core.errors import TokenRefused
from consolekit.testing import ManualClock, TokenValidatorContract, example_grant
from consolekit.testing.validatorchecks import all_logs, altered, answer, asked, whole_text


@pytest.mark.parametrize("token", ["a" * 40, "0", "ckt_ABCzz9-_", str(uuid.UUID(int=0)), "f9zZF"])
def test_an_altered_token_differs_in_one_character_of_the_same_kind(token):
    other = altered(token)
    assert len(other) == len(token)
    (place,) = [number for number in range(len(token)) if token[number] != other[number]]
    for kind in (str.isdigit, str.islower, str.isupper):
        assert kind(token[place]) == kind(other[place])
    assert altered("---") == "---x"


async def test_an_answer_is_what_is_given_or_raised():
    async def give():
        return 1

    async def refuse():
        raise TokenRefused("x")

    assert await answer(give()) == 1
    assert isinstance(await answer(refuse()), TokenRefused)


def test_the_text_of_an_exception_has_its_causes():
    def refuse():
        raise TokenRefused("x") from KeyError("canary")

    with pytest.raises(TokenRefused) as refused:
        refuse()
    assert "canary" in whole_text(refused.value)


def test_every_record_is_seen_and_the_level_is_as_before():
    level = logging.getLogger().level
    with all_logs() as texts:
        logging.getLogger("any").debug("%s", "canary", extra={"more": "field"})
    assert len([text for text in texts if "canary" in text and "field" in text]) == 1
    assert logging.getLogger().level == level
    logging.getLogger("any").error("after")
    assert len(texts) == 1


def test_who_asks_the_file_system_is_seen(tmp_path):
    with asked() as events:
        sorted(tmp_path.iterdir())
    assert events
    with asked() as events:
        pass
    sorted(tmp_path.iterdir())
    assert events == []


def test_a_grant_is_the_same_by_what_is_kept():
    wish = example_grant(ManualClock())
    assert TableContract().same(wish, wish)
    assert not TableContract().same(example_grant(ManualClock(), server_id="other"), wish)
    assert not TableContract().same(None, wish)


async def test_a_subclass_must_say_how_things_are_made():
    contract = TokenValidatorContract()
    with pytest.raises(NotImplementedError):
        await contract.make_validator(ManualClock())
    with pytest.raises(NotImplementedError):
        await contract.make_token(example_grant(ManualClock()))
