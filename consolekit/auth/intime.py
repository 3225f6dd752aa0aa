"""Auth: one deadline, and one error for whoever fails to answer in it. Knows no store and no validator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from consolekit.core.errors import ConsoleKitError, StoreUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


async def in_time(call: Awaitable[_T], seconds: float, who: str) -> _T:
    """What ``call`` gives within its time; whatever else it does opens nothing.

    Args:
        call: The question.
        seconds: Its deadline.
        who: Who is asked, for the log.

    Raises:
        ConsoleKitError: what ``call`` raised of it.
        StoreUnavailable: no answer in time, or an exception that its contract does not allow.
    """
    try:
        async with asyncio.timeout(seconds):
            return await call
    except ConsoleKitError:
        raise
    except TimeoutError as exc:
        raise StoreUnavailable(f"{who} gave no answer within {seconds:g} s") from exc
    except Exception as exc:
        _log.exception("%s raised what its contract does not allow", who)
        raise StoreUnavailable(f"{who} failed: {type(exc).__name__}") from exc
