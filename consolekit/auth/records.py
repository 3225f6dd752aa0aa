"""Auth: grants and session infos as JSON text, the one place that knows the written form. Knows no store.

A **grant** with an unknown field is refused: what a newer version wrote there may restrict the grant, and
to ignore it would open more than was granted. A **session info** only informs: unknown fields are ignored.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Mode, SessionInfo

_OMIT = override(omit=True)


class RecordError(ValueError):
    """A record cannot be read; says which kind and why, never what stands in it."""


def _converter(*, strict: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=strict)
    converter.register_unstructure_hook(ConsoleKey, str)
    converter.register_structure_hook(ConsoleKey, lambda text, _: ConsoleKey.parse(text))
    converter.register_unstructure_hook(ConsoleRequest, _plain_request)
    # A target may hold a secret, and secrets lie in no store: see grant_text.
    converter.register_unstructure_hook(Grant, make_dict_unstructure_fn(Grant, converter, target=_OMIT))
    converter.register_structure_hook(
        Grant,
        make_dict_structure_fn(Grant, converter, target=_OMIT, _cattrs_forbid_extra_keys=strict),
    )
    return converter


def _plain_request(request: ConsoleRequest) -> dict[str, Any]:
    """By hand: ``params`` is a read-only view, which JSON does not know.

    The usual mode is not written: a proxy of a version that knew no modes reads the record, and refuses one
    that allows less.
    """
    fields = attrs.asdict(request, recurse=False)
    mode = fields.pop("mode")
    fields |= {"key": str(request.key), "params": dict(request.params)}
    return fields if mode is Mode.INTERACT else fields | {"mode": mode.value}


_GRANTS = _converter(strict=True)
_SESSIONS = _converter(strict=False)


def _text(plain: object) -> str:
    return json.dumps(plain, separators=(",", ":"))


def grant_text(grant: Grant) -> str:
    """A grant as one line of JSON.

    Raises:
        TypeError: its ``params`` hold what JSON does not know, such as a Secret.
        ValueError: it has a target: such a grant belongs to whoever named it.
    """
    if grant.target is not None:
        raise ValueError("a grant with a target is not stored")
    return _text(_GRANTS.unstructure(grant))


def read_grant(text: str) -> Grant:
    """The grant back.

    Raises:
        RecordError: damaged, or written by a newer version that knows more fields.
    """
    try:
        return _GRANTS.structure(json.loads(text), Grant)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise RecordError(_reason("grant", exc)) from None


def session_text(info: SessionInfo) -> str:
    """A session info as one line of JSON."""
    return _text(_SESSIONS.unstructure(info))


def read_session(text: str) -> SessionInfo:
    """The session info back; fields of a newer version are ignored.

    Raises:
        RecordError: damaged.
    """
    try:
        return _SESSIONS.structure(json.loads(text), SessionInfo)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise RecordError(_reason("session", exc)) from None


def _reason(kind: str, exc: Exception) -> str:
    unknown = sorted(_unknown_fields(exc))
    if unknown:
        return f"the {kind} was written by a newer consolekit: unknown fields {', '.join(unknown)}"
    return f"the {kind}'s record is damaged ({type(exc).__name__})"


def _unknown_fields(exc: BaseException) -> set[str]:
    """Names of fields, from cattrs' tree of errors. Field names are ours or a successor's, never a value."""
    if isinstance(exc, cattrs.ForbiddenExtraKeysError):
        return {name[:64] for name in exc.extra_fields}
    if isinstance(exc, BaseExceptionGroup):
        return set().union(*(_unknown_fields(inner) for inner in exc.exceptions))
    return set()
