"""Web: the page and its files, at addresses that are others whenever a file is another. Knows no HTTP server.

A browser needs seventy files for the page. At such an address it keeps them and never asks again, which saves
the gateway more than a console's own connection costs. The page itself is never kept; it names the address.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from consolekit.web import assets_dir, page_file

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""``Cache-Control`` of a file at its marked address (RFC 8246)."""

NOT_UNASKED: Final = "no-cache"
"""``Cache-Control`` of a file at any other: it may be kept, and is used when we say that it is the same."""

MARK: Final = r"[0-9a-f]{16}"
"""What any mark looks like. During an upgrade, browsers bring one proxy's mark to another."""

_REFERENCE = re.compile(r'(?<==")(?=(?:assets|novnc)/)')


class KeptFiles:
    """The page, and under which mark its files may be kept. They are read once: what changes wants a restart.

    Args:
        novnc: The directory of noVNC; None where there is none.

    Attributes:
        mark: 16 hexadecimal digits.
        page: The page, as bytes, with its files at their marked addresses.
    """

    def __init__(self, novnc: Path | None) -> None:
        folders = [folder for folder in (assets_dir(), novnc) if folder is not None]
        self.mark: str = _digest(folders)
        self.page: bytes = _REFERENCE.sub(f"{self.mark}/", page_file().read_text(encoding="utf-8")).encode()

    def cache_control(self, mark: str | None) -> str:
        """What to say of a file that was asked for at an address with this mark, or with none."""
        return FOR_EVER if mark == self.mark else NOT_UNASKED


def _digest(folders: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = file.relative_to(folder).as_posix()
            found.update(f"{name} {file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
            found.update(file.read_bytes())
    return found.hexdigest()[:16]
