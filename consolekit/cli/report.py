"""CLI: what lives in this process, as log lines: its sessions, and where its tasks wait. Bounded.

Tells names of functions and places in files, never a value: a frame's variables may be tokens or passwords.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import consolekit
from consolekit.core.types import SessionInfo

_log = logging.getLogger(__name__)
_SESSIONS = 1000
_TASKS = 50
_FRAMES = 20
_OURS = Path(consolekit.__file__).parent.parent


def report(sessions: Iterable[SessionInfo], tasks: Iterable[asyncio.Task[Any]], *, now: float) -> None:
    """Write one line for each live session, oldest first, and one for each place where tasks wait.

    Args:
        sessions: The live ones.
        tasks: Those of the loop.
        now: Wall clock, epoch seconds.
    """
    found = sorted(sessions, key=lambda session: session.started_at)
    places = Counter(_where(task) for task in tasks)
    _log.info("report: %d sessions, %d tasks in %d places", len(found), places.total(), len(places))
    for session in found[:_SESSIONS]:
        _log.info("report: a session", extra=_fields(session, now))
    for (name, stack), count in places.most_common(_TASKS):
        _log.info("report: a task", extra={"task": name, "count": count, "stack": stack})
    left = max(0, len(found) - _SESSIONS), max(0, len(places) - _TASKS)
    if any(left):
        _log.info("report: %d sessions and %d places are left out", *left)


def _fields(session: SessionInfo, now: float) -> dict[str, object]:
    return {
        "session_id": session.id,
        "grant_id": session.grant_id,
        "console": str(session.key),
        "server_id": session.server_id,
        "subject": session.subject,
        "mode": session.mode.value,
        "remote_address": session.address,
        "seconds": round(now - session.started_at, 3),
        "bytes_in": session.bytes_in,
        "bytes_out": session.bytes_out,
    }


def _where(task: asyncio.Task[Any]) -> tuple[str, str]:
    """What the task runs, and the chain of calls that it waits in, outermost first."""
    waiting: Any = task.get_coro()
    name = getattr(waiting, "__qualname__", type(waiting).__name__)
    places: list[str] = []
    while waiting is not None and len(places) < _FRAMES:
        frame: FrameType | None = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is None:
            break
        places.append(_place(frame.f_code, frame.f_lineno))
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return name, " > ".join(places)


def _place(code: CodeType, line: int) -> str:
    return f"{_shown(code.co_filename)}:{line} {code.co_qualname}"


@functools.lru_cache(256)  # the same few files, thousands of times
def _shown(name: str) -> str:
    file = Path(name)
    return str(file.relative_to(_OURS) if file.is_relative_to(_OURS) else Path(*file.parts[-2:]))
