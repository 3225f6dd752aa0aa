"""Auth: texts that have one reading: base64url and JSON, refused where they have two. Knows no token.

Python's reader of JSON takes more than RFC 8259 calls interoperable: of two equal names the last wins,
``NaN`` is a number, half a surrogate pair is a text; its reader of base64 ignores bits. What two programs
understand differently, one of them can be fooled with.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from itertools import accumulate
from typing import Any, NoReturn

MAX_DEPTH = 16
"""How many brackets may be open at once."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def read_json(data: bytes) -> Any:
    """The value, if it is one beyond doubt.

    Args:
        data: UTF-8; the caller has bounded its length.

    Raises:
        ValueError: it is no JSON, too deep, names something twice, or holds what JSON cannot hold; says
            which, never what stands there.
    """
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")  # 1e999, lone surrogates
    except UnicodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"no JSON: {exc.msg} at character {exc.pos}") from None
    return value


def read_base64url(text: str) -> bytes:
    """The bytes of base64url without padding (RFC 7515, 2), if this is how they are written.

    Raises:
        ValueError: it is none, or the same bytes are written otherwise.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("no base64url") from None
    if write_base64url(data) != text:
        raise ValueError("no base64url as it is written")
    return data


def write_base64url(data: bytes) -> str:
    """Bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _check_depth(text: str) -> None:
    steps = (_STEPS.get(char, 0) for char in _STRINGS.sub("", text))
    if max(accumulate(steps), default=0) > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels deep")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("holds a number that is none")
