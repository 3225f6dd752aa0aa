"""Client: a refusal becomes the error that the gateway itself raised. Pure; knows no HTTP library.

No error here quotes a key, a token or an address with one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Self, cast

import attrs

from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleUnavailable,
    InvalidRequest,
    LimitReached,
    Problem,
    UnsupportedConsole,
    every_error,
)

_LONGEST = 2000  # of a text that is shown; what answers may be no gateway of ours


class ApiUnreachable(ConsoleKitError):
    """The API gave no answer: it cannot be reached, is not trusted, or took too long."""

    code = "api_unreachable"
    status = 503
    title = "The console gateway cannot be reached."


class UnexpectedAnswer(ConsoleKitError):
    """Something answered, and not as a consolekit API does."""

    code = "unexpected_answer"
    status = 502
    title = "What answered is no console gateway, or not one of this version."


@attrs.frozen(kw_only=True)
class ProblemDocument:
    """A problem document (RFC 9457), as far as it is ours.

    Attributes:
        code: Stable; ``consolekit.core.errors`` has a class for each that the gateway itself raises.
        status: The HTTP status.
        title: For people.
        detail: More, where more was told.
        problems: With ``invalid_request``, everything that breaks the schema.
        retry_after: Seconds after which trying again may help; None where the gateway does not say.
    """

    code: str
    status: int
    title: str
    detail: str = ""
    problems: tuple[Problem, ...] = ()
    retry_after: float | None = None

    @classmethod
    def of(cls, status: int, body: Any, retry_after: str = "") -> Self:
        """Read one.

        Raises:
            UnexpectedAnswer: it is none of ours.
        """
        if not isinstance(body, Mapping) or not isinstance(body.get("code"), str):
            raise UnexpectedAnswer(f"HTTP status {status} without a problem document of consolekit")
        listed = body.get("problems", [])
        return cls(
            code=_shown(body["code"]),
            status=status,
            title=_shown(body.get("title", "")),
            detail=_shown(body.get("detail", "")),
            problems=tuple(
                Problem(_shown(one.get("path", "")), _shown(one.get("message", "")))
                for one in (listed if isinstance(listed, list) else [])
                if isinstance(one, Mapping)
            ),
            retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        )


def _shown(text: object) -> str:
    """A text for a terminal or a log: no control characters, no end of it."""
    found = text if isinstance(text, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in found[:_LONGEST])


class ApiProblem(ConsoleKitError):
    """What the API refused, and why.

    Where ``consolekit.core.errors`` has a class for the code, the error is of that class too: ``except
    UnknownServer`` works as it does beside an embedded kit. ``code``, ``status`` and ``title`` are as they
    were answered. Members of that class that the gateway does not tell are empty.

    Attributes:
        document: All that was answered.
        retry_after: Seconds after which trying again may help; None where the gateway does not say.
    """

    def __init__(self, document: ProblemDocument) -> None:
        self.document = document
        self.retry_after: float | None = document.retry_after
        detail = "; ".join(str(problem) for problem in document.problems) or document.detail
        Exception.__init__(self, detail or document.title or document.code)
        answered = {"code": document.code, "status": document.status, "title": document.title}
        vars(self).update(answered, **_members(type(self), document))

    @property
    def public_detail(self) -> str:
        """What was told beyond the title."""
        return self.document.detail

    def __reduce__(self) -> tuple[Any, ...]:
        return error_of, (self.document,)


def error_of(document: ProblemDocument) -> ApiProblem:
    """The error of a problem document."""
    return _class_of(document.code if document.code in every_error() else "")(document)


@functools.cache
def _class_of(code: str) -> type[ApiProblem]:
    """Made once for each code that there is; ``ApiProblem`` itself for none."""
    base = every_error().get(code)
    if base is None:
        return ApiProblem
    made = type(base.__name__, (ApiProblem, base), {"__doc__": base.__doc__, "__module__": __name__})
    return cast("type[ApiProblem]", made)


def _members(cls: type[ConsoleKitError], document: ProblemDocument) -> dict[str, object]:
    """What the class's own constructor would have set."""
    if issubclass(cls, InvalidRequest):
        return {"problems": document.problems}
    if issubclass(cls, UnsupportedConsole):
        return {"key": "", "known": (), "reason": document.detail}
    if issubclass(cls, LimitReached):
        return {"limit": "", "allowed": 0}
    if issubclass(cls, ConsoleUnavailable):
        return {"reason": document.detail or document.title, "retryable": document.retry_after is not None}
    return {}
