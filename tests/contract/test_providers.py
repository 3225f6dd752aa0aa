"""Our own providers keep the contract that third parties test theirs with; each of its checks can fail."""

from __future__ import annotations

import wrongcalls
import wrongforms
from lightsout import CHECKS, LightsContract


class TestLightsOut(LightsContract):
    """The right one, from which the wrong ones differ in one thing each."""


def test_every_check_is_failed_by_somebody() -> None:
    assert set(CHECKS) == set.union(*wrongforms.WRONG.values(), *wrongcalls.WRONG.values())
