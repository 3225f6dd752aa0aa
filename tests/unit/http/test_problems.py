from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from consolekit.core.errors import (
    InvalidRequest,
    LimitReached,
    Problem,
    TokenRefused,
    UnsupportedConsole,
    every_error,
)
from consolekit.http.problems import headers_of, problem_of, problem_of_status


def test_an_error_is_its_code_its_title_and_its_status() -> None:
    assert problem_of(TokenRefused("used twice by 192.0.2.1")) == {
        "type": "urn:consolekit:problem:token_refused",
        "title": TokenRefused.title,
        "status": 401,
        "code": "token_refused",
    }


def test_what_may_be_told_is_told() -> None:
    assert problem_of(LimitReached("per_server", 8))["detail"] == "limit per_server of 8 reached"
    assert "vnc/novnc" in problem_of(UnsupportedConsole("vnc/webmks", ["vnc/novnc"]))["detail"]


def test_every_problem_of_a_wrong_request_is_listed() -> None:
    document = problem_of(InvalidRequest([Problem("a.b", "is required"), Problem("c", "must be c")]))
    assert document["problems"] == [
        {"path": "a.b", "message": "is required"},
        {"path": "c", "message": "must be c"},
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (403, "forbidden"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "content_too_large"),
        (414, "uri_too_long"),
        (415, "unsupported_media_type"),
        (421, "misdirected_request"),
        (422, "unprocessable_content"),
        (431, "request_header_fields_too_large"),
        (500, "internal"),
    ],
)
def test_codes_of_bare_statuses_are_the_same_in_every_python(status: int, code: str) -> None:
    document = problem_of_status(status)
    assert (document["code"], document["status"]) == (code, status)
    assert document["type"] == f"urn:consolekit:problem:{code}"


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 400])
def test_every_status_has_a_document(status: int) -> None:
    assert json.loads(json.dumps(problem_of_status(status, "why")))["detail"] == "why"


def test_statuses_and_errors_share_no_code_with_another_status() -> None:
    for status in (400, 404, 405, 413, 414, 415, 421, 426, 431):
        same = every_error().get(problem_of_status(status)["code"])
        assert same is None or same.status == status


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {"WWW-Authenticate": "Bearer"}),
        (426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}),
        (429, {"Retry-After": "5"}),
        (503, {"Retry-After": "5"}),
        (404, {}),
    ],
)
def test_some_statuses_have_headers_of_their_own(status: int, headers: dict[str, str]) -> None:
    assert headers_of(status) == headers
