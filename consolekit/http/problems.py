"""HTTP: an error as a problem document (RFC 9457). Pure; knows no server.

What leaves the process is chosen here: the class's title, its public detail, its code. The error's own text
stays in the log.
"""

from __future__ import annotations

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
