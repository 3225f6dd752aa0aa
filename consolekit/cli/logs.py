"""CLI: the log: text for people or JSON for collectors, on standard error, never a token in it.

What logs in this program logs no secret; the redaction here is the second line of defence. Writing happens
in a thread behind a bounded queue: a pipe that nobody reads, or a full disk, costs log lines, never a
console. Lines that were lost are counted and told of.
"""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import queue
import re
import select
import threading
import time
from collections.abc import Callable, Sequence

from consolekit.core.errors import ConfigError, Problem

_SECRETS = re.compile(
    r"\bck(?P<kind>[ta])_[A-Za-z0-9_-]{16,}"
    r"|(?P<name>(?:token|password|secret)(?:=|%3[Dd]|\"?: ?\"))[^&\s\"'<>]+"
    r"|(?P<bearer>[Bb]earer )[A-Za-z0-9._~+/-]{8,}=*"
)
_SIGNS = ("ckt_", "cka_", "token", "password", "secret", "earer ")  # _SECRETS finds nothing without one
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD = len(vars(logging.makeLogRecord({})))  # so many attributes come before a record's own
_NOT_OURS = ("message", "asctime")  # left behind by other formatters
_log = logging.getLogger(__name__)
_QUEUE_LINES = 10_000
_AT_ONCE = 12  # lines of the usual length fit into what a pipe takes whole
_LAST_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
_END = ""


def redact(text: str) -> str:
    """The text without tokens, keys and what stands behind ``token=``."""
    if not any(map(text.__contains__, _SIGNS)):  # most lines: ten times cheaper to see than by the pattern
        return text
    return _SECRETS.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    if found["kind"]:
        return f"ck{found['kind']}_***"
    return f"{found['name'] or found['bearer']}***"


class TextFormatter(logging.Formatter):
    """One line for each record: time, level, where, what, and the record's own fields as ``key=value``."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._written = -1, ""  # the last second that was written out

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows on lines of its own."""
        own = itertools.islice(vars(record).items(), _STANDARD, None)
        line = f"{self._when(record.created)} {record.levelname:<7} {record.name}: " + _one_line(
            record.getMessage()
            + "".join(
                [f" {name}={value}" for name, value in own if name[:1] != "_" and name not in _NOT_OURS]
            )
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line

    def _when(self, seconds: float) -> str:
        second, rest = divmod(seconds, 1)
        if second != self._second:
            when = datetime.datetime.fromtimestamp(second, datetime.UTC)
            self._second, self._written = int(second), f"{when:%Y-%m-%dT%H:%M:%S}"
        return f"{self._written}.{int(rest * 1000):03}Z"


def _one_line(text: str) -> str:
    """Nobody forges a log line by what they send."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class PatientHandler(logging.Handler):
    """Hands lines to a thread that writes them; loses them, and counts, when nobody takes them.

    Args:
        write: Writes some text; may block, may fail.
    """

    # Lines are made here, not in the thread: what they tell of is as it was, and on one interpreter the
    # thread would take the same time from the sessions, only not when they chose.

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._dropped = self._failed = 0  # each is counted by one thread only
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line; never waits."""
        if self._lines.qsize() >= _QUEUE_LINES:
            self._dropped += 1
            return
        try:
            line = self._line(record)
        except Exception:  # a record that cannot be formatted must not end what logged it
            where = f"{record.pathname}:{record.lineno}"
            line = self._line(_notice(logging.ERROR, "a log line of %s could not be made", where))
        self._lines.put(line)

    @property
    def lost(self) -> int:
        """How many lines nobody took, so far."""
        return self._dropped + self._failed

    def _line(self, record: logging.LogRecord) -> str:
        return redact(self.format(record)) + "\n"

    def _work(self) -> None:
        told = 0
        while (lines := self._take()) != [_END]:
            lost = self.lost
            if lost > told:
                notice = _notice(logging.WARNING, "%d log lines were lost: nobody took them", lost - told)
                lines[0] = self._line(notice) + lines[0]
            for text, count in _pieces(lines):
                try:
                    self._write(text)
                    told = lost
                except (OSError, ValueError):  # a closed pipe, a full disk: told of once it is well again
                    self._failed += count
            if self._lines.empty():  # each wake-up takes the interpreter from the sessions: fewer of them
                time.sleep(_PAUSE_SECONDS)

    def _take(self) -> list[str]:
        """Some lines, waiting for the first; what ends them comes alone."""
        lines = [self._lines.get()]
        while lines[-1] != _END and len(lines) < _AT_ONCE and not self._lines.empty():
            lines.append(self._lines.get())
        if lines[-1] == _END and len(lines) > 1:
            lines.pop()
            self._lines.put(_END)
        return lines

    def close(self) -> None:
        """Give the queued lines a second to be written, then let go."""
        self._lines.put(_END)
        self._thread.join(_LAST_SECONDS)
        super().close()


def _pieces(lines: Sequence[str]) -> list[tuple[str, int]]:
    """What is written with one call each, and how many lines it is.

    A pipe takes so much whole (POSIX, write): other processes write to it, too.
    """
    text = "".join(lines)
    if text.isascii() and len(text) <= select.PIPE_BUF:
        return [(text, len(lines))]
    return [(line, 1) for line in lines]


def _notice(level: int, message: str, value: object) -> logging.LogRecord:
    return _log.makeRecord(_log.name, level, __file__, 0, message, (value,), None)


def _write_stderr(text: str) -> None:
    # The bare descriptor: a thread that blocks inside Python's buffer would block the interpreter's end too
    data = text.encode("utf-8", "backslashreplace")
    while data:
        try:
            data = data[os.write(2, data) :]
        except BlockingIOError:  # somebody who shares it made it so
            select.select([], [2], [])


def lost() -> int:
    """How many lines of this process's log nobody took, so far."""
    return sum(
        handler.lost for handler in logging.getLogger().handlers if isinstance(handler, PatientHandler)
    )


def set_up(form: str, level: str, *, write: Callable[[str], None] = _write_stderr) -> PatientHandler:
    """Send every log record of the process to standard error.

    Args:
        form: ``text`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        write: Where lines go instead.

    Raises:
        ConfigError: there is no such form.
    """
    handler = PatientHandler(write)
    handler.setFormatter(_formatter(form))
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, PatientHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("consolekit").setLevel(level.upper())
    if level == "debug":
        root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    return handler


def _formatter(form: str) -> logging.Formatter:
    if form == "text":
        return TextFormatter()
    if form != "json":
        raise ConfigError([Problem("log.format", "must be one of text, json")])
    from pythonjsonlogger.json import JsonFormatter  # here, so that --help need not import it

    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp=True,
        json_ensure_ascii=False,
    )
