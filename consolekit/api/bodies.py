"""API: JSON of strangers, read strictly. Pure; knows no console and no HTTP beyond two header values.

What two readers could understand differently is refused (RFC 8259; RFC 7493): duplicate names, NaN and
infinities, lone surrogates, encodings other than UTF-8; and nesting that only an attacker needs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from consolekit.core.errors import MalformedRequest

MAX_DEPTH = 32
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_JSON_TYPE = re.compile(r'application/json[ \t]*(;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)


def is_json(content_types: Sequence[str]) -> bool:
    """Whether the ``Content-Type`` values say JSON, once, and no other encoding than UTF-8.

    A page of another site can send ``text/plain`` or a form without asking first, but not this.
    """
    return len(content_types) == 1 and _JSON_TYPE.fullmatch(content_types[0].strip()) is not None


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        MalformedRequest: it is not one, or one that is not read here; the text never quotes it.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("the body is not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise MalformedRequest(f"the body is nested more than {MAX_DEPTH} deep")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite)
    except MalformedRequest:
        raise
    except json.JSONDecodeError as exc:
        raise MalformedRequest(f"the body is not JSON: line {exc.lineno}, column {exc.colno}") from None
    except ValueError:  # an integer of more digits than anybody means
        raise MalformedRequest("the body holds a number that is too long") from None
    if not isinstance(data, dict):
        raise MalformedRequest("the body is not a JSON object")
    if not _is_unicode(data):
        raise MalformedRequest("the body holds text that is not Unicode (a lone surrogate)")
    return data


def _depth(text: str) -> int:
    """The deepest nesting, counted before parsing; a string that does not end is the parser's problem."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub('""', text)):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequest("the body names a key twice")
    return found


def _not_a_number(_: str) -> NoReturn:
    raise MalformedRequest("the body holds NaN or an infinity")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedRequest("the body holds a number out of range")
    return value


def _is_unicode(data: dict[str, Any]) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
