"""HTTP: an error as a problem document (RFC 9457). Pure; knows no server.

What leaves the process is chosen here: the class's title, its public detail, its code. The error's own text
stays in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from consolekit.core.errors import ConsoleKitError, InvalidRequest

CONTENT_TYPE = "application/problem+json"
# Codes are public and stay; Python's phrases change with its versions (RFC 9110 renamed some).
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    500: "Internal",
}


def headers_of(status: int) -> Mapping[str, str]:
    """What HTTP wants beside a problem document of this status; ``Allow`` is the handler's to know."""
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if status == HTTPStatus.UPGRADE_REQUIRED:  # RFC 9110, 15.5.22 and RFC 6455, 4.4
        return {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return {"Retry-After": "5"}
    return {}


def problem_of(error: ConsoleKitError) -> dict[str, Any]:
    """The document of one of our errors; ``status`` in it is the HTTP status to send."""
    document: dict[str, Any] = {
        "type": f"urn:consolekit:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
    }
    if error.public_detail:
        document["detail"] = error.public_detail
    if isinstance(error, InvalidRequest):
        document["problems"] = [{"path": p.path, "message": p.message} for p in error.problems]
    return document


def problem_of_status(status: int, detail: str = "") -> dict[str, Any]:
    """The document of a bare HTTP status, for what HTTP itself refuses."""
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    document: dict[str, Any] = {
        "type": f"urn:consolekit:problem:{code}",
        "title": ConsoleKitError.title if status == 500 else phrase,
        "status": status,
        "code": code,
    }
    if detail:
        document["detail"] = detail
    return document
