"""Proxy: the websocket's request: decides everything, answers 101, lets go of tornado.

Knows nothing of the bytes after that.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from urllib.parse import parse_qs

from tornado.iostream import StreamClosedError

from consolekit.auth.base import AccessContext
from consolekit.core.errors import (
    ConsoleKitError,
    MalformedRequest,
    OriginRefused,
    TokenRefused,
)
from consolekit.core.types import Secret
from consolekit.http.handler import Handler
from consolekit.net.takeover import take_over
from consolekit.proxy.closecodes import describe, may_mend
from consolekit.proxy.session import Session, Surroundings
from consolekit.proxy.upgrade import Upgrade, hash_resume_key, parse_upgrade

_MAX_FIELDS = 16


class ConsoleSocket(Handler):
    """``GET /ws``: a browser wants to open the console that its token stands for."""

    def initialize(self, around: Surroundings, origins: Collection[str], allow_no_origin: bool) -> None:
        """Take what the application wired."""
        self._around, self._origins = around, origins
        self._allow_no_origin = allow_no_origin
        self._attempt: asyncio.Task[Session] | None = None
        self._gone = False

    async def get(self) -> None:
        """Redeem, reach the console, and only then answer 101."""
        with self._around.kit.timings.step("open"):
            await self._decide()

    async def _decide(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            upgrade = self._read_request()
            self._around.sessions.admit(self.request.remote_ip or "")
            self._attempt = loop.create_task(self._open(upgrade))
            session = await self._attempt
        except ConsoleKitError as exc:
            self._refuse(exc)
        except asyncio.CancelledError:
            if not self._gone:
                raise
            self._around.metrics.refused("viewer_gone")
        else:
            if self._still_wanted(session):
                self._switch(session, upgrade)
                self._around.metrics.took(loop.time() - begun)

    def _still_wanted(self, session: Session) -> bool:
        """Whether the session and its viewer are both still there, after the moment in which we were told."""
        if self._gone:
            session.end("viewer_gone")
            self._around.metrics.refused("viewer_gone")
        elif session.ended:
            self._refuse(session.refusal())
        else:
            return True
        return False

    def on_connection_close(self) -> None:
        """The browser went away while we were at it: stop, and leave nothing connected."""
        self._gone = True
        if self._attempt is not None:
            self._attempt.cancel()

    def _read_request(self) -> Upgrade:
        headers: dict[str, list[str]] = defaultdict(list)
        for name, value in self.request.headers.get_all():
            headers[name.lower()].append(value)
        self._check_origin(headers["origin"])
        try:
            query = parse_qs(self.request.query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise MalformedRequest(f"the query has over {_MAX_FIELDS} fields") from None
        return parse_upgrade(self.request.version, headers, query.get("token", []), query.get("resume", []))

    def _check_origin(self, origins: list[str]) -> None:
        """Exact scheme, host and port; no origin at all is no browser (RFC 6455, 10.2)."""
        if not origins and self._allow_no_origin:
            return
        if len(origins) != 1 or origins[0].lower() not in self._origins:
            raise OriginRefused("the Origin header names no page of ours")

    async def _open(self, upgrade: Upgrade) -> Session:
        address = self.request.remote_ip or ""
        context = AccessContext(address=address, resume_hash=upgrade.resume_hash)
        validator, grant = await self._around.kit.validators.redeem(upgrade.token, context)
        session = Session(self._around, grant, validator, address=address)
        await session.open()
        return session

    def _switch(self, session: Session, upgrade: Upgrade) -> None:
        try:
            channel, received = take_over(self.detach())
        except StreamClosedError:  # gone in this very moment
            session.end("viewer_gone")
        else:
            session.run(channel, upgrade.response(), received)

    def _refuse(self, error: ConsoleKitError) -> None:
        self._around.metrics.refused(error.code)
        self._around.kit.hooks.notify(
            "consolekit_access_refused", code=error.code, address=self.request.remote_ip or ""
        )
        self.fail(error)


class Outcome(Handler):
    """``GET /console/outcome``: why did my console not open?

    A page cannot read the answer that refused its websocket.
    """

    def initialize(self, around: Surroundings) -> None:
        """Take what the application wired."""
        self._around = around

    async def get(self) -> None:
        """Tell the browser that holds the token *and* its own resume key, and nobody else."""
        try:
            self.finish(await self._outcome())
        except ConsoleKitError as exc:
            self.fail(exc)

    async def _outcome(self) -> dict[str, object]:
        self._around.sessions.admit(self.request.remote_ip or "")
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        resume_hash = hash_resume_key(self.request.headers.get("Consolekit-Resume", ""))
        if scheme.lower() != "bearer" or not resume_hash:
            raise TokenRefused("no token, or no resume key")
        context = AccessContext(address=self.request.remote_ip or "", resume_hash=resume_hash)
        code = await self._around.kit.validators.outcome(Secret(token), context)
        title, resumable = describe(code or "internal")
        known = {"code": code or "unknown", "title": title, "resumable": resumable}
        return {**known, "retry": resumable and may_mend(code or "internal")}
