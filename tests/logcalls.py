"""Test support: every line that the package can log, read from its source. Importable as ``logcalls``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

import consolekit

_PACKAGE = Path(consolekit.__file__).parent
_LOGGERS = ("_log", "_LOG")
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}
_LEVEL_FIRST = ("_complain", "_notice")  # what the logging is left to, in two places
_VALUE = re.compile(r"%(?:\.\d+)?[a-z]")


@attrs.frozen(order=True)
class LogCall:
    """One call that logs.

    Attributes:
        level: As operators set it.
        message: With ``…`` for each value.
        place: File and line.
    """

    level: str
    message: str
    place: str = attrs.field(eq=False)


def log_calls() -> set[LogCall]:
    """Every call that operators can see with ``log.level = "info"``; not those of ``consolekit.testing``."""
    found: set[LogCall] = set()
    for file in sorted(_PACKAGE.rglob("*.py")):
        name = str(file.relative_to(_PACKAGE.parent))
        if not name.startswith("consolekit/testing/"):
            found |= set(_in_file(ast.parse(file.read_text(encoding="utf-8")), name))
    return found


def shown(message: str) -> str:
    """The message as documentation shows it."""
    return _VALUE.sub("…", message)


def _in_file(tree: ast.Module, name: str) -> Iterable[LogCall]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            level, message = _read(node)
            if level:
                yield LogCall(level, shown(message), f"{name}:{node.lineno}")


def _read(call: ast.Call) -> tuple[str, str]:
    """Level and message of a call; no level for one that does not log, or only for debugging."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    logs = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") in _LOGGERS
    if logs and name in _LEVELS:
        return _LEVELS[name], _text(call.args[0])
    if name in _LEVEL_FIRST or (logs and name == "log"):  # the level comes first
        level, message = call.args[0], _text(call.args[1])
        given = level.attr.lower() if isinstance(level, ast.Attribute) else "info"  # decided as it comes
        return (given, message) if message else ("", "")
    return "", ""


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
