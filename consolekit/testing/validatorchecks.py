"""Testing: how a named check of a token validator runs. Knows no particular validator and no rule.

Every check runs on an event loop, a clock and a validator of its own, so no pytest plug-in is needed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
import unittest
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import attrs

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.core.types import Clock, Grant, Secret, Target
from consolekit.testing.clock import ManualClock
from consolekit.testing.examples import example_grant

MINE = AccessContext(address="192.0.2.7", resume_hash="a" * 64)
OTHER = AccessContext(address="192.0.2.8", resume_hash="b" * 64)
NOBODY = AccessContext(address="192.0.2.9")

_Checks = TypeVar("_Checks", bound="ValidatorChecks")
_ASKING = ("open", "socket.", "subprocess.", "os.listdir", "os.scandir", "sqlite3.connect")
_seen: list[tuple[tuple[str, ...], list[str]]] = []  # one for each watch that runs
_installed: list[bool] = []


def check(
    body: Callable[[_Checks, TokenValidator, ManualClock], Awaitable[None]],
) -> Callable[[_Checks], None]:
    """Make a plain test method of an async one that wants a validator and its clock."""

    def test(self: _Checks) -> None:
        asyncio.run(_run(self, body))

    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


class ValidatorChecks:
    """What runs the checks: a fresh validator for each.

    Attributes:
        keeps: Which fields of the wished grant come back, with dots into its request. What a validator's
            tokens cannot say is not among them.
        expires: Whether its tokens die at the wished ``expires_at`` by the validator's clock.
        claims_form: Whether ``recognises`` knows its tokens by their form.
    """

    keeps: ClassVar[tuple[str, ...]] = ("request.key", "request.server_id", "provider")
    expires: ClassVar[bool] = True
    claims_form: ClassVar[bool] = False

    async def make_validator(self, clock: Clock) -> TokenValidator:
        """A validator on that clock, called once for a check, before any token is made.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its validator is made")

    async def make_token(self, wish: Grant) -> Secret:
        """A fresh token, good for the validator that was made last, for what ``keeps`` says of the wish.

        Args:
            wish: A console at a place of its own, and until when.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its tokens are made")

    async def good(self, clock: Clock, number: int = 0) -> tuple[Secret, Grant]:
        """A good token and what it stands for; another number is another console."""
        target = Target(host="192.0.2.1", port=5900 + number)
        wish = attrs.evolve(example_grant(clock, server_id=f"web-{number}", ttl=60.0), target=target)
        return await self.make_token(wish), wish

    def same(self, grant: object, wish: Grant) -> bool:
        """True if it is the grant that was wished for."""
        if not isinstance(grant, Grant):
            return False
        return all(_field(grant, path) == _field(wish, path) for path in self.keeps)


def _field(grant: Grant, path: str) -> object:
    value: Any = grant
    for name in path.split("."):
        value = getattr(value, name)
    return value


async def _run(
    checks: _Checks, body: Callable[[_Checks, TokenValidator, ManualClock], Awaitable[None]]
) -> None:
    """Run one check on a fresh validator, and close it."""
    clock = ManualClock()
    validator = await checks.make_validator(clock)
    try:
        await body(checks, validator, clock)
    finally:
        await answer(validator.aclose())  # that it closes well is a check of its own


def skip(why: str) -> unittest.SkipTest:
    """What makes pytest skip a check that does not apply."""
    return unittest.SkipTest(why)


async def answer(call: Awaitable[object]) -> object:
    """What a call gives, or the exception that it raises."""
    try:
        return await call
    except Exception as exc:
        return exc


def whole_text(exc: BaseException) -> str:
    """All that a log could show of an exception, its causes included."""
    return repr(exc) + "".join(traceback.format_exception(exc))


def altered(token: str) -> str:
    """The token with one character in its middle replaced by another of the same kind."""
    places = sorted(range(len(token)), key=lambda place: abs(place - len(token) // 2))
    for place in places:
        for kind in ("0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ"):
            if token[place] in kind:
                other = kind[(kind.index(token[place]) + 1) % len(kind)]
                return token[:place] + other + token[place + 1 :]
    return token + "x"


class _Diary(logging.Handler):
    """Every record of the root logger, as text with all that a formatter could reach."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        text = f"{record.name} {record.getMessage()} {vars(record)!r}"
        if record.exc_info and record.exc_info[1]:
            text += whole_text(record.exc_info[1])
        self.texts.append(text)


@contextmanager
def all_logs() -> Iterator[list[str]]:
    """What is logged meanwhile, at any level."""
    root, diary = logging.getLogger(), _Diary()
    level = root.level
    root.addHandler(diary)
    root.setLevel(logging.DEBUG)
    try:
        yield diary.texts
    finally:
        root.setLevel(level)
        root.removeHandler(diary)


@contextmanager
def asked(kinds: tuple[str, ...] = _ASKING) -> Iterator[list[str]]:
    """Names of the audit events meanwhile by which somebody outside is asked.

    Args:
        kinds: How their names begin; default: files, sockets, programs.
    """
    if not _installed:  # an audit hook cannot be taken away again (PEP 578)
        sys.addaudithook(_audit)
        _installed.append(True)
    watch: tuple[tuple[str, ...], list[str]] = (kinds, [])
    _seen.append(watch)
    try:
        yield watch[1]
    finally:
        _seen.remove(watch)


def _audit(event: str, _: object) -> None:
    for kinds, events in _seen:
        if event.startswith(kinds):
            events.append(event)
