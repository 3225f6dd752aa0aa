import asyncio
import logging

import pytest

from consolekit.auth.intime import in_time
from consolekit.core.errors import StoreUnavailable, TokenRefused


async def answer(outcome):
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_an_answer_is_passed_on():
    assert await in_time(answer(5), 1, "the store") == 5


async def test_an_error_of_ours_is_passed_on():
    with pytest.raises(TokenRefused, match="used"):
        await in_time(answer(TokenRefused("used")), 1, "the store")


async def test_no_answer_is_no_console():
    with pytest.raises(StoreUnavailable, match="the store gave no answer within 0 s"):
        await in_time(asyncio.Event().wait(), 0, "the store")


async def test_any_other_error_is_named_and_not_quoted(caplog):
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(StoreUnavailable, match="the store failed: OSError") as caught,
    ):
        await in_time(answer(OSError("password=hunter2")), 1, "the store")
    assert "hunter2" not in str(caught.value)
    (record,) = caplog.records
    assert record.getMessage() == "the store raised what its contract does not allow"
