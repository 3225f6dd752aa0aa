"""API: what every operation does alike. Knows tornado and callers; knows no console.

The order of refusals is one for all operations: size (413), form of the request (400, 414, 431), host (421),
method (405), origin (403), caller (401), query (400), media type (415), then the operation's own. Nothing
is answered before the body was read, but a body that is too large: closing on unread bytes would reset
the connection and lose the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias, cast

import attrs
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, stream_request_body

from consolekit.api.bodies import is_json, read_object
from consolekit.api.callers import Callers
from consolekit.api.description import Description
from consolekit.core.errors import MalformedRequest, OriginRefused
from consolekit.core.timings import TRACEPARENT
from consolekit.core.types import Caller
from consolekit.http.handler import Handler
from consolekit.http.problems import problem_of_status
from consolekit.kit import ConsoleKit

_Verb: TypeAlias = Callable[..., Awaitable[None] | None]

MAX_BODY = 64 * 1024
_MAX_DRAINED = 128 * 1024 * 1024
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


@attrs.frozen(kw_only=True)
class Api:
    """What the operations work on.

    Attributes:
        kit: The kit.
        callers: Who may call.
        description: The API's own description.
    """

    kit: ConsoleKit
    callers: Callers
    description: Description


@stream_request_body
class ApiHandler(Handler):
    """Base of the operations of one path; they are its methods ``on_get``, ``on_post``, ``on_delete``.

    Attributes:
        public: True where no key is asked for.
        token_header: True where Nova's ``X-Auth-Token`` counts as a key too.
        query: The query parameters that are known, each at most once.
    """

    public: ClassVar[bool] = False
    token_header: ClassVar[bool] = False
    query: ClassVar[frozenset[str]] = frozenset()

    def initialize(self, api: Api) -> None:
        """Take what the application passes on."""
        self.api = api
        self._body = bytearray()
        self._refused = False

    async def prepare(self) -> None:
        """Refuse a body that is announced as too large, before it comes."""
        # Counted here: tornado would close the connection without a 413.
        cast("HTTP1Connection", self.request.connection).set_max_body_size(_MAX_DRAINED)
        announced = self.request.headers.get("Content-Length", "")
        if announced.isascii() and announced.isdigit():
            if len(announced) > 9 or int(announced) > _MAX_DRAINED:
                self._refused = True
                self._answer(problem_of_status(413))
            elif int(announced) > MAX_BODY:
                await self._refuse_body()

    async def data_received(self, chunk: bytes) -> None:
        """Keep the body, as long as it is not too large."""
        if self._refused:
            return
        self._body += chunk
        if len(self._body) > MAX_BODY:
            await self._refuse_body()

    async def _refuse_body(self) -> None:
        """Answer 413 now and let the rest of the body run dry; a client may read only after it has sent."""
        self._refused = True
        self._body.clear()
        self.write_problem(problem_of_status(413))
        if "Expect" in self.request.headers:  # it waits for leave to send (RFC 9110, 10.1.1): none is given
            self.finish()
        else:
            await self.flush()

    async def _respond(self, *path: str) -> None:
        if self._refused:
            return
        self.refuse_unfit()
        operation = self._operation()
        if operation is None:
            self._options()
            return
        self._check_origin()
        caller = self._caller()
        self._check_query()
        TRACEPARENT.set(self.request.headers.get("Traceparent", ""))  # whoever has a key is believed
        await operation(caller, *path)

    get: _Verb = _respond
    head: _Verb = _respond
    post: _Verb = _respond
    put: _Verb = _respond
    delete: _Verb = _respond
    patch: _Verb = _respond
    options: _Verb = _respond

    def allowed_methods(self) -> list[str]:
        """The methods of this path."""
        own = [name for name in ("GET", "POST", "DELETE") if hasattr(self, f"on_{name.lower()}")]
        return [*own, *(["HEAD"] if "GET" in own else []), "OPTIONS"]

    def _operation(self) -> Callable[..., Awaitable[None]] | None:
        method = self.request.method or ""
        if method not in self.allowed_methods():
            raise HTTPError(405)
        if method == "OPTIONS":
            return None
        name = "get" if method == "HEAD" else method.lower()
        operation: Callable[..., Awaitable[None]] = getattr(self, f"on_{name}")
        return operation

    def _options(self) -> None:
        """Which methods there are; nothing that would let pages of other sites in."""
        self.set_status(204)
        self.set_header("Allow", ", ".join(self.allowed_methods()))

    def _check_origin(self) -> None:
        """Without keys the browser itself is the credential: only our own address may use it."""
        origins = self.request.headers.get_list("Origin")
        ours = f"{self.request.protocol}://{self.request.host}".lower()
        if self.api.callers.is_anonymous and any(origin.lower() != ours for origin in origins):
            raise OriginRefused("a page of another origin called an API without keys")

    def _caller(self) -> Caller:
        headers = self.request.headers
        if self.public:
            return Caller(name="public", servers=(), subjects=())
        token = headers.get_list("X-Auth-Token") if self.token_header else []
        return self.api.callers.identify(headers.get_list("Authorization"), token)

    def _check_query(self) -> None:
        for name, values in self.request.query_arguments.items():
            if name not in self.query:
                known = ", ".join(sorted(self.query)) or "none"
                raise MalformedRequest(f"a query parameter is not known here; known: {known}")
            if len(values) > 1:
                raise MalformedRequest(f"the query parameter {name} is given twice")

    def json_body(self) -> dict[str, Any]:
        """The request's JSON object.

        Raises:
            HTTPError: 415, it is sent as something else.
            MalformedRequest: it is not well-formed.
        """
        headers = self.request.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HTTPError(415)
        if not is_json(headers.get_list("Content-Type")):
            raise HTTPError(415)
        return read_object(bytes(self._body))

    def compute_etag(self) -> None:
        """None: nothing here may be stored, so there is nothing to revalidate."""

    def send(self, text: str, content_type: str = "application/json") -> None:
        """Make the response this text."""
        self.set_header("Content-Type", content_type)
        self.write(text)


class NotFound(ApiHandler):
    """404 for whatever no route takes; 413 and 421 where they come first."""

    public = True

    def _operation(self) -> Callable[..., Awaitable[None]] | None:
        raise HTTPError(404)
