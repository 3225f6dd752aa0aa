"""Test support: how hard Hypothesis tries, in one place. Importable as ``profiles``.

``fast`` is for every day and for CI: its examples depend on the code alone, so that no merge fails by chance.
``deep`` is for ``make fuzz``: twenty times as many, others each time, and what fails is kept and tried first.
``CONSOLEKIT_HYPOTHESIS`` chooses. A test that needs more or fewer examples than the others says so with
``examples``, and follows the profile all the same.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings

VARIABLE: Final = "CONSOLEKIT_HYPOTHESIS"

_USUAL = 100  # Hypothesis's own default
_TIMES = {"fast": 1, "deep": 20}
_chosen = os.environ.get(VARIABLE, "fast")


def load() -> None:
    """Make the chosen profile the one that every test starts from.

    Raises:
        ValueError: there is no profile of that name.
    """
    if _chosen not in _TIMES:
        raise ValueError(f"{VARIABLE}={_chosen}: the profiles are {', '.join(_TIMES)}")
    # No deadline in either: how fast a machine is says nothing about the code.
    steady: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("fast", derandomize=True, max_examples=_USUAL, **steady)
    settings.register_profile("deep", derandomize=False, max_examples=_USUAL * _TIMES["deep"], **steady)
    settings.load_profile(_chosen)


def examples(number: int, **more: Any) -> settings:
    """So many examples with ``fast``, and as many times more with ``deep`` as everything gets.

    Args:
        number: How many with ``fast``.
        more: Other settings of Hypothesis.
    """
    return settings(max_examples=number * _TIMES[_chosen], **more)
