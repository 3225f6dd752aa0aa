"""Proxy: the websocket's request: decides everything, answers 101, lets go of tornado.

Knows nothing of the bytes after that.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from tornado.iostream import StreamClosedError

from consolekit.core.errors import ConsoleKitError
from consolekit.http.handler import Handler
from consolekit.net.takeover import take_over
from consolekit.proxy.admission import Admission, read_query
from consolekit.proxy.session import Session
from consolekit.proxy.upgrade import Upgrade, parse_upgrade


class ConsoleSocket(Handler):
    """``GET /ws``: a browser wants to open the console that its token stands for."""

    def initialize(self, admission: Admission) -> None:
        """Take what the application wired."""
        self._admission, self._around = admission, admission.around
        self._attempt: asyncio.Task[object] | None = None
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
            session = await self._open(upgrade)
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

    async def _open(self, upgrade: Upgrade) -> Session:
        """What may be cancelled: the request's own task has nothing else to do meanwhile."""
        self._attempt = asyncio.current_task()
        try:
            return await self._admission.open(upgrade, address=self.request.remote_ip or "")
        finally:
            self._attempt = None

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
        self._admission.check_origin(headers["origin"])
        query = read_query(self.request.query)
        return parse_upgrade(self.request.version, headers, query.get("token", []), query.get("resume", []))

    def _switch(self, session: Session, upgrade: Upgrade) -> None:
        try:
            channel, received = take_over(self.detach())
        except StreamClosedError:  # gone in this very moment
            session.end("viewer_gone")
        else:
            session.run(channel, upgrade.response(), received)

    def _refuse(self, error: ConsoleKitError) -> None:
        self._admission.refused(error, address=self.request.remote_ip or "")
        self.fail(error)


class Outcome(Handler):
    """``GET /console/outcome``: why did my console not open?

    A page cannot read the answer that refused its websocket.
    """

    def initialize(self, admission: Admission) -> None:
        """Take what the application wired."""
        self._admission = admission

    async def get(self) -> None:
        """Tell the browser that holds the token *and* its own resume key, and nobody else."""
        try:
            self.finish(await self._outcome())
        except ConsoleKitError as exc:
            self.fail(exc)

    async def _outcome(self) -> dict[str, object]:
        return await self._admission.outcome(
            address=self.request.remote_ip or "",
            authorization=self.request.headers.get("Authorization", ""),
            resume_key=self.request.headers.get("Consolekit-Resume", ""),
        )
