"""Example: tells a chat or an inventory, by a webhook, that somebody has opened a console.

Hooks run in the event loop's thread and must not wait, so a thread of our own sends. The queue between is
bounded: where the other side is slow or away, notices are left out and the log says so; consoles go on.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import urllib.request

from consolekit import SessionInfo, hookimpl

_log = logging.getLogger(__name__)
_SECONDS = 5.0


class Notify:
    """Posts a JSON object for each console that opens.

    Args:
        url: Where to post to.
        most: How many notices may wait.
    """

    def __init__(self, url: str, *, most: int = 100) -> None:
        self._url = url
        self._notices: queue.Queue[dict[str, str] | None] = queue.Queue(most)
        self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
        self._thread.start()

    @hookimpl
    def consolekit_session_opened(self, session: SessionInfo) -> None:
        """Somebody looks at a console."""
        notice = {
            "text": f"{session.subject} has opened the console of {session.server_id}",
            "console": str(session.key),
            "mode": session.mode.value,
            "address": session.address,
        }
        try:
            self._notices.put_nowait(notice)
        except queue.Full:
            _log.warning("a notice was left out: too many wait")

    def close(self) -> None:
        """Send what waits, and end."""
        self._notices.put(None)
        self._thread.join()

    def _send_all(self) -> None:
        while (notice := self._notices.get()) is not None:
            try:
                self._send(notice)
            except OSError as exc:
                _log.warning("a notice was not taken: %s", exc)

    def _send(self, notice: dict[str, str]) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(notice).encode(), headers)  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - the operator's own address
            pass
