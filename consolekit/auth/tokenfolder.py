"""Auth: reads token files from where an operator has put them. Knows the file system; knows no grant.

Blocking: whoever uses it does so in a thread.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from consolekit.auth.tokenlines import Entry, Fault, parse, unambiguous

_log = logging.getLogger(__name__)
_LARGEST: Final = 16 * 1024 * 1024
_MOST_FILES: Final = 10_000
_MOST_FAULTS: Final = 20  # told of one reading; more would fill a log, and say nothing more
_SETTLED: Final = 2.0  # seconds; no file system stamps more coarsely
_BACKUPS: Final = ("~", ".bak", ".old", ".orig", ".rej", ".save", ".swp", ".tmp", ".part",
                   ".rpmnew", ".rpmsave", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-tmp")  # fmt: skip

_Stamp: TypeAlias = tuple[int, int, int, int, int]


class Unreadable(Exception):
    """A file gives no tokens; the text says why."""


class TokenFolder:
    """The tokens of a file, or of the files of a directory, as they stand now.

    Of a directory, regular files count; hidden ones and what editors and packages leave behind do not, nor
    do directories in it. A symbolic link counts if it stays inside, as those of a Kubernetes ConfigMap do.
    What is wrong with a file or a line is logged once, until it changes.

    Args:
        path: The file or directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._tokens: Mapping[bytes, Entry] = {}
        self._told: frozenset[str] = frozenset()

    def tokens(self, now: float) -> Mapping[bytes, Entry]:
        """Every token that opens something, by its SHA-256; read again where a file has changed.

        Args:
            now: Epoch seconds: what was written just now may change again without another time stamp.
        """
        files, troubles = self._files()
        stamps = {path: _stamp(path) for path in files}
        seen = (stamps, troubles)
        if seen != self._seen:
            read = self._read(files, list(troubles))
            fresh = any(stamp and abs(now - stamp[3] / 1e9) < _SETTLED for stamp in stamps.values())
            self._seen = seen if read and not fresh else None
        return self._tokens

    def _read(self, files: Mapping[Path, Path | None], troubles: list[str]) -> bool:
        """Read everything; False if a part could not be read."""
        entries: list[tuple[str, Entry]] = []
        faults: list[tuple[str, Fault]] = []
        unread = 0
        for path, inside in files.items():
            try:
                good, wrong = parse(_content(path, inside))
            except (OSError, RuntimeError, Unreadable) as exc:
                troubles.append(f"{path}: its tokens open nothing: {_reason(exc)}")
                unread += 1
                continue
            entries += ((str(path), entry) for entry in good)
            faults += ((str(path), fault) for fault in wrong)
        self._tokens, doubles = unambiguous(entries)
        troubles += (f"{name}:{fault.line}: the line {fault.why}" for name, fault in [*faults, *doubles])
        troubles += (
            f"{name}:{entry.line}: the token is so short that it can be guessed"
            for name, entry in entries
            if entry.short
        )
        self._tell(troubles)
        return not unread

    def _tell(self, troubles: list[str]) -> None:
        fresh = [trouble for trouble in troubles if trouble not in self._told]
        for trouble in fresh[:_MOST_FAULTS]:
            _log.warning("token file %s", trouble)
        if len(fresh) > _MOST_FAULTS:
            _log.warning("token file %s: %d more lines like these", self._path, len(fresh) - _MOST_FAULTS)
        self._told = frozenset(troubles)

    def _files(self) -> tuple[dict[Path, Path | None], list[str]]:
        """What to read, each with the directory that it must be inside; and what is wrong with the whole."""
        try:
            if not self._path.is_dir():
                return {self._path: None}, []
            root = self._path.resolve(strict=True)
            names = sorted(entry.name for entry in os.scandir(root) if _counts(entry))
        except (OSError, RuntimeError) as exc:
            return {}, [f"{self._path}: its tokens open nothing: {_reason(exc)}"]
        wrong = [f"{self._path}: only its first {_MOST_FILES} files are read"] * (len(names) > _MOST_FILES)
        return {self._path / name: root for name in names[:_MOST_FILES]}, wrong


def _counts(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith((".", "#")) or entry.name.lower().endswith(_BACKUPS)
    return not hidden and not entry.is_dir(follow_symlinks=False)


def _content(path: Path, inside: Path | None) -> bytes:
    """The whole content of a regular file; nothing else is even begun to be read.

    Raises:
        OSError: it cannot be read.
        RuntimeError: its symbolic links go round in a circle.
        Unreadable: it is no regular file, too large, or lies outside.
    """
    real = path.resolve(strict=True)
    if inside is not None and not real.is_relative_to(inside):
        raise Unreadable("it is a symbolic link that leads outside of the directory")
    # O_NONBLOCK: a FIFO would wait for a writer. O_NOFOLLOW: links are resolved by now, a new one is a trick
    fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("it is no regular file")
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise Unreadable(f"it is over {_LARGEST // 1024**2} MiB large")
    return data


def _stamp(path: Path) -> _Stamp | None:
    """What changes when the file does, wherever links lead; None where it cannot be told."""
    try:
        status = path.stat()
    except (OSError, RuntimeError):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _reason(exc: Exception) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else str(exc)
