"""A parent that is to take another's place; the whole of it is in ``test_supervisor``."""

from __future__ import annotations

import os

from consolekit.cli.successor import predecessor_of, start_successor

VARIABLE = "_CONSOLEKIT_PREDECESSOR_FD"


async def test_one_that_ends_before_it_serves_is_none():
    assert await start_successor(["--version"], []) is None


def test_the_predecessor_hears_once_and_its_variable_goes():
    reading, writing = os.pipe()
    environment = {VARIABLE: f"{writing}", "OTHER": "1"}
    tell = predecessor_of(environment)
    assert environment == {"OTHER": "1"}
    tell()
    with os.fdopen(reading, "rb") as heard:
        assert heard.read() == b"1"


def test_a_predecessor_that_is_gone_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    predecessor_of({VARIABLE: f"{writing}"})()
    predecessor_of({})()
