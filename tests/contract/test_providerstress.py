"""The provider contract over providers that do something wrong in a call, or leave something over."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from lightsout import failed_checks
from wrongcalls import WRONG, LeavesADescriptor, LeavesAThread


@pytest.fixture(autouse=True)
def _end_what_was_left() -> Iterator[None]:
    LeavesAThread.end.clear()
    yield
    LeavesAThread.end.set()
    while LeavesADescriptor.left:
        os.close(LeavesADescriptor.left.pop())


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_provider_fails_exactly_the_checks_that_name_its_fault(wrong):
    assert failed_checks(wrong) == WRONG[wrong]
