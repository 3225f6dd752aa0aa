"""Example: a hook plug-in that writes one JSON line for whatever happens to consoles.

Lines go to the file that ``AUDIT_FILE`` names, or to standard error. A file, not a pipe: hooks run in the
event loop's thread, and a pipe that nobody reads would hold up every console. If the disk is full, the
gateway's log has ``hook failed`` for each line that is missing. Install it beside consolekit and enable it::

    pip install ./examples/audit-hook
    # consolekit.toml:  [hooks]  enabled = ["audit"]
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from consolekit import Caller, ConsoleRequest, SessionInfo, hookimpl


class AuditLog:
    """Writes who looked at which console, from where, for how long, and who was turned away."""

    def __init__(self) -> None:
        path = os.environ.get("AUDIT_FILE")
        self._file: TextIO = sys.stderr
        if path:  # line buffered, and open as long as the process lives
            self._file = Path(path).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - see above

    def _write(self, event: str, **fields: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        print(json.dumps(line), file=self._file)

    @hookimpl
    def consolekit_request_validated(self, request: ConsoleRequest, caller: Caller) -> None:
        """Somebody asked for a link."""
        self._write(
            "requested",
            console=str(request.key),
            server=request.server_id,
            subject=request.subject,
            caller=caller.name,
        )

    @hookimpl
    def consolekit_session_opened(self, session: SessionInfo) -> None:
        """Somebody looks at a console."""
        self._write("opened", **_who(session))

    @hookimpl
    def consolekit_session_closed(self, session: SessionInfo) -> None:
        """It is over; also comes for a session that never opened."""
        ended = session.ended_at or session.started_at
        self._write(
            "closed",
            **_who(session),
            reason=session.reason,
            seconds=round(ended - session.started_at, 3),
            bytes_in=session.bytes_in,
            bytes_out=session.bytes_out,
        )

    @hookimpl
    def consolekit_access_refused(self, code: str, address: str) -> None:
        """Somebody was turned away before there was a session."""
        self._write("refused", code=code, address=address)


def _who(session: SessionInfo) -> dict[str, str]:
    """What both lines of a session say, so that each of them can be read alone."""
    return {
        "session": session.id,
        "grant": session.grant_id,
        "console": str(session.key),
        "server": session.server_id,
        "subject": session.subject,
        "mode": session.mode.value,
        "address": session.address,
    }
