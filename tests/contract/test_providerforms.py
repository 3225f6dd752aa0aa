"""The provider contract over providers that declare something wrong, or give what is none."""

from __future__ import annotations

import pytest
from lightsout import failed_checks
from wrongforms import WRONG


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_provider_fails_exactly_the_checks_that_name_its_fault(wrong):
    assert failed_checks(wrong) == WRONG[wrong]
