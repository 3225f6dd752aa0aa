"""client.problems: a problem document becomes the error that the gateway raised."""

from __future__ import annotations

import pickle

import pytest

from consolekit.client.problems import ApiProblem, ProblemDocument, UnexpectedAnswer, error_of
from consolekit.core.errors import (
    ConsoleKitError,
    ConsoleUnavailable,
    InvalidRequest,
    LimitReached,
    Problem,
    ProviderError,
    UnknownServer,
    UnsupportedConsole,
    every_error,
)
from consolekit.http.problems import problem_of, problem_of_status


def told(error: ConsoleKitError, status: int | None = None, retry_after: str = "") -> ApiProblem:
    """What the client raises where the server raised this."""
    document = problem_of(error)
    return error_of(ProblemDocument.of(status or document["status"], document, retry_after))


@pytest.mark.parametrize("code", sorted(every_error()))
def test_every_error_comes_back_as_its_own_class(code: str) -> None:
    cls = every_error()[code]
    document = ProblemDocument.of(cls.status, {"code": code, "title": cls.title})
    error = error_of(document)
    assert isinstance(error, cls)
    assert isinstance(error, ApiProblem)
    assert (error.code, error.status, error.title) == (code, cls.status, cls.title)
    assert str(error) == cls.title
    assert type(error).__name__ == cls.__name__


def test_it_is_caught_by_the_branch_of_the_tree_too() -> None:
    with pytest.raises(ProviderError):
        raise told(UnknownServer("web-9"))


def test_everything_that_breaks_the_schema_is_told() -> None:
    error = told(InvalidRequest([Problem("mode", "must be one of"), Problem("ttl_seconds", "must be less")]))
    assert isinstance(error, InvalidRequest)
    assert [problem.path for problem in error.problems] == ["mode", "ttl_seconds"]
    assert str(error) == "mode: must be one of; ttl_seconds: must be less"


def test_members_that_only_the_gateway_knows_are_empty() -> None:
    limit = told(LimitReached("per_server", 1), retry_after="5")
    assert isinstance(limit, LimitReached)
    assert (limit.limit, limit.allowed, limit.retry_after) == ("", 0, 5.0)
    assert str(limit) == "limit per_server of 1 reached"
    pair = told(UnsupportedConsole("vnc/x", ["vnc/novnc"]), status=404)
    assert isinstance(pair, UnsupportedConsole)
    assert (pair.status, pair.known, "valid pairs: vnc/novnc" in pair.reason) == (404, (), True)
    late = told(ConsoleUnavailable("starting"), retry_after="5")
    assert isinstance(late, ConsoleUnavailable)
    assert (late.retryable, late.reason) == (True, ConsoleUnavailable.title)


def test_what_http_itself_refuses_has_its_code() -> None:
    error = error_of(ProblemDocument.of(421, problem_of_status(421)))
    assert type(error) is ApiProblem
    assert (error.code, error.status) == ("misdirected_request", 421)


def test_reading_twice_makes_one_class_and_none_in_the_tree() -> None:
    first, second = told(UnknownServer("a")), told(UnknownServer("b"))
    assert type(first) is type(second)
    assert every_error()["unknown_server"] is UnknownServer


def test_an_error_travels_between_processes() -> None:
    back = pickle.loads(pickle.dumps(told(UnknownServer("web-9"), retry_after="7")))
    assert isinstance(back, UnknownServer)
    assert (back.code, back.status, back.retry_after) == ("unknown_server", 404, 7.0)


@pytest.mark.parametrize("body", [None, [], "text", {}, {"code": 7}, {"title": "no code"}])
def test_what_is_no_problem_document(body: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="HTTP status 502"):
        ProblemDocument.of(502, body)


def test_a_text_is_fit_to_be_shown() -> None:
    body = {"code": "x", "title": "a\x1b[31mb\n", "detail": "d" * 9999, "problems": [7, {"path": 1}]}
    document = ProblemDocument.of(500, body, retry_after="soon")
    assert document.title == "a [31mb "
    assert len(document.detail) == 2000
    assert document.problems == (Problem("", ""),)
    assert document.retry_after is None
