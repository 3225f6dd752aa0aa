"""ASGI: files of a folder, as answers: with their type, and not sent again to who has them.

Knows no console.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from consolekit.asgi.messages import Send, answer
from consolekit.web import CONTENT_SECURITY_POLICY

_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",  # module scripts need it, even where the system has no table
    ".svg": "image/svg+xml",
}


def find(folder: Path, name: str) -> Path | None:
    """The file of this name in the folder or below; None where there is none, or it is elsewhere.

    Args:
        folder: Whose files are served.
        name: As a browser asks for it; may be anything.
    """
    if "\0" in name:
        return None
    inside = folder.resolve()
    try:
        found = (inside / name.lstrip("/")).resolve()
        return found if found.is_relative_to(inside) and found.is_file() else None
    except OSError:  # a name that no file can have
        return None


async def send_file(send: Send, file: Path, *, known: str, cache: str, head: bool) -> None:
    """Answer with a file, or 304 where the browser has it.

    Args:
        send: The server's.
        file: Which.
        known: The request's ``If-None-Match``.
        cache: ``Cache-Control``.
        head: Whether only the headers are wanted.
    """
    body = await asyncio.to_thread(file.read_bytes)
    etag = f'"{hashlib.sha256(body).hexdigest()[:40]}"'
    headers = {
        "Content-Type": _TYPES.get(file.suffix)
        or mimetypes.guess_type(file.name)[0]
        or "application/octet-stream",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cache-Control": cache,
        "ETag": etag,
    }
    if etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        await answer(send, 304, b"", headers)
        return
    await answer(send, 200, body, headers, head=head)
