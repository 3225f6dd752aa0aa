"""Test support: secrets that can be found again, and a search of everything that was said or kept.

Importable as ``canary``. What is searched is raw: bytes of files, whole log records with their arguments and
tracebacks, whole answers. Each secret is looked for in the forms that programs write secrets in.
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import attrs

from consolekit.core.types import Secret

_OUR_OWN = "websockets"  # the test's client, which may log what it sends


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may be written down: as it is, escaped, or in another alphabet."""
    raw = secret.encode("utf-8", "surrogatepass")
    return {
        "as it is": raw,
        "in a URL": quote(secret, safe="").encode(),
        "in JSON": json.dumps(secret)[1:-1].encode(),
        "as hex": raw.hex().encode(),
        # not its last characters: they depend on what stands behind it
        "as base64": base64.b64encode(raw)[: len(raw) * 8 // 6],
        "as base64 of the web": base64.urlsafe_b64encode(raw)[: len(raw) * 8 // 6],
    }


@attrs.define
class Hunt:
    """The secrets of a test, and everything that was said.

    Attributes:
        secrets: By name.
        said: Where, and what.
    """

    secrets: dict[str, str] = attrs.field(factory=dict)
    said: list[tuple[str, bytes]] = attrs.field(factory=list)

    def secret(self, name: str, text: str) -> str:
        """Note a secret; gives it back."""
        self.secrets[name] = text
        return text

    def hear(self, where: str, what: str | bytes) -> None:
        """Note what was said or kept somewhere."""
        self.said.append((where, what.encode("utf-8", "replace") if isinstance(what, str) else what))

    def found(self) -> list[str]:
        """Every secret that is somewhere: what, in which form, where."""
        return sorted(
            {
                f"{name}, {form}, in {where}"
                for name, secret in self.secrets.items()
                for form, text in forms(secret).items()
                for where, what in self.said
                if text in what
            }
        )

    def places_of(self, text: str) -> set[str]:
        """Where a text that may be told was heard: what is searched holds something."""
        return {where for where, what in self.said if text.encode() in what}


class _Ear(logging.Handler):
    """Hears every record whole: message, arguments, extra fields, traceback."""

    def __init__(self, hunt: Hunt) -> None:
        super().__init__(logging.NOTSET)
        self._hunt = hunt

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] == _OUR_OWN:
            return
        text = f"{record.getMessage()} {vars(record)!r}"
        if record.exc_info and record.exc_info[1]:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        self._hunt.hear(f"the log of {record.name}", text)


@contextmanager
def every_logger(hunt: Hunt) -> Iterator[None]:
    """Hear all that is logged, by libraries too, at every level."""
    root, ear = logging.getLogger(), _Ear(hunt)
    named = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    levels = {logger: logger.level for logger in (root, *named)}
    for logger in levels:
        logger.setLevel(logging.DEBUG if logger is root else logging.NOTSET)
    root.addHandler(ear)
    try:
        yield
    finally:
        root.removeHandler(ear)
        for logger, level in levels.items():
            logger.setLevel(level)


def inside(thing: Any, seen: set[int] | None = None) -> Iterator[str]:
    """All texts that an object holds, however deep, those of a ``Secret`` too."""
    seen = set() if seen is None else seen
    if isinstance(thing, str | bytes):
        yield thing if isinstance(thing, str) else thing.decode("latin-1")
        return
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Secret):
        yield thing.reveal()
        return
    for part in _parts(thing):
        yield from inside(part, seen)


def _parts(thing: Any) -> Iterator[Any]:
    if hasattr(thing, "items"):
        for key, value in thing.items():
            yield from (key, value)
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif type(thing).__module__.startswith("consolekit."):
        names = {name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())}
        yield from (getattr(thing, name) for name in names - {"__weakref__"} if hasattr(thing, name))
        yield from getattr(thing, "__dict__", {}).values()
