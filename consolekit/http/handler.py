"""HTTP: the base of every request handler. Knows no console.

Hosts are checked before anything else; every refusal is a problem document; nothing that an attacker
sent is echoed or logged beyond a bounded path.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Collection
from types import TracebackType
from typing import Any

from tornado.web import HTTPError, RequestHandler

from consolekit.core.errors import ConsoleKitError
from consolekit.core.networks import NOWHERE
from consolekit.http.forwarded import viewer_address
from consolekit.http.headers import MAX_HEADER_LINE, MAX_HEADERS, MAX_URI, SAFE_HEADERS
from consolekit.http.problems import CONTENT_TYPE, headers_of, problem_of, problem_of_status

_log = logging.getLogger(__name__)


class Handler(RequestHandler):
    """What every handler here does alike.

    The application's setting ``hosts`` lists the names it answers to; ``trusted_proxies`` holds the networks
    of proxies that say for whom they speak, if there are any.

    Attributes:
        any_host: True for handlers that answer whatever name they are called by (health probes).
    """

    any_host = False

    def set_default_headers(self) -> None:
        """Safe by default: not stored, not framed, not sniffed, no server version."""
        self.clear_header("Server")
        for name, value in SAFE_HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> Awaitable[None] | None:
        """Refuse at once what is not fit to be answered."""
        self.refuse_unfit()
        return None

    def refuse_unfit(self) -> None:
        """Refuse what is too large, ambiguous, or meant for another host (RFC 9112, 3.2).

        From here on the request has its viewer's address, also where a trusted proxy brought it.

        Raises:
            HTTPError: 400, 414, 421 or 431.
        """
        request = self.request
        self._find_viewer()
        if len(request.uri or "") > MAX_URI:
            raise HTTPError(414)
        headers = list(request.headers.get_all())
        if len(headers) > MAX_HEADERS or any(len(k) + len(v) > MAX_HEADER_LINE for k, v in headers):
            raise HTTPError(431)
        if not (request.uri or "").startswith("/") or (request.uri or "").startswith("//"):
            raise HTTPError(400)
        if len(request.headers.get_list("Host")) != 1:
            raise HTTPError(400)
        if not self.any_host and not self._is_our_host(request.host):
            raise HTTPError(421)

    def _find_viewer(self) -> None:
        request = self.request
        trusted = self.settings.get("trusted_proxies", NOWHERE)
        try:
            request.remote_ip = viewer_address(
                request.remote_ip or "", request.headers.get_list("X-Forwarded-For"), trusted
            )
        except ValueError:
            raise HTTPError(400) from None

    def _is_our_host(self, host: str) -> bool:
        hosts: Collection[str] = self.settings["hosts"]
        return host.lower() in hosts

    def fail(self, error: ConsoleKitError) -> None:
        """Answer with the error's problem document, and nothing else."""
        fields = {"code": error.code, "status": error.status, "remote_address": self.request.remote_ip}
        if error.status >= 500:
            _log.warning("refused, %s: %s", error.code, error, extra=fields)
        else:
            _log.info("refused, %s: %s", error.code, error, extra=fields)
        self._answer(self.document_of(error))

    def document_of(self, error: ConsoleKitError) -> dict[str, Any]:
        """The error's problem document; for handlers whose clients expect another form."""
        return problem_of(error)

    def _answer(self, document: dict[str, Any]) -> None:
        self.write_problem(document)
        self.finish()

    def write_problem(self, document: dict[str, Any]) -> None:
        """Make the response this problem document; not sent yet."""
        body = json.dumps(document)
        self.clear()
        self.set_status(document["status"])
        if document["status"] == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        for name, value in headers_of(document["status"]).items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")  # also where the thing itself may be kept
        self.set_header("Content-Type", CONTENT_TYPE)
        self.set_header("Content-Length", len(body))
        self.write(body)

    def allowed_methods(self) -> list[str]:
        """What ``Allow`` lists with a 405."""
        base = RequestHandler
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not getattr(base, method.lower())
        ]

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error that reaches tornado, as a problem document."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, ConsoleKitError):
            self.fail(error)
        else:
            self._answer(problem_of_status(status_code))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what is our fault; tornado would print the whole request, its URI and headers included."""
        if isinstance(value, HTTPError | ConsoleKitError):
            return
        _log.error(
            "unexpected failure in %s",
            type(self).__name__,
            exc_info=(typ, value, tb) if typ else None,  # type: ignore[arg-type]  # typ and value come together
        )


class NotFoundHandler(Handler):
    """404 for whatever no route takes."""

    def prepare(self) -> None:
        """Refuse what is malformed as such, the rest as not found."""
        self.refuse_unfit()
        raise HTTPError(404)
