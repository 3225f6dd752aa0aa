"""Core: the ``<protocol, type>`` JSON Schema, composed from what is registered.

The only door to jsonschema. The whole schema (``ConsoleSchema.document``) is what ``consolekit schema``
exports and OpenAPI shows. Validation goes the same way in three steps, so that an unregistered *pair* is
told as such, with the pairs that exist, and no error text ever quotes a value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from jsonschema import Draft202012Validator
from jsonschema import validators as _validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

from consolekit.core.errors import InvalidRequest, Problem
from consolekit.core.provider import ConsoleProvider
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import ConsoleKey, ConsoleRequest, Mode

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_TTL_SECONDS = 600
SERVER_ID = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9._:@-]*$",
    "maxLength": 128,
}
SUBJECT = {
    "type": "string",
    "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]+$",  # one line, whoever prints it
    "maxLength": 128,
}
TTL = {"type": "integer", "minimum": 1, "maximum": MAX_TTL_SECONDS}
_WORD = {"type": "string", "maxLength": 64}
_PLAIN_KEY = re.compile(r"(?!ck[a-z]_)[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,63}")  # and no token or API key of ours
_MAX_PROBLEMS = 100  # of one document; more would make a small wrong request a large answer
_ENDS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|(\$)", re.DOTALL)


@functools.lru_cache(maxsize=512)
def _ecma(pattern: str) -> re.Pattern[str]:
    """JSON Schema's patterns are ECMA-262's: ``$`` is the very end, not "or before a last newline"."""
    ends = _ENDS.sub(lambda found: r"\Z" if found[1] else found[0], pattern)
    return re.compile(ends, re.ASCII)


def _check_pattern(_: Any, rule: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _ecma(rule).search(instance):
        yield ValidationError("does not match")


def _is_text(_: Any, instance: object) -> bool:
    """A string that can be written down: lone surrogates (RFC 8259, 8.2) can be neither stored nor sent."""
    return isinstance(instance, str) and not any("\ud800" <= char <= "\udfff" for char in instance)


_Validator: Any = _validators.extend(  # type: ignore[no-untyped-call]  # its stubs have no types here
    Draft202012Validator,
    validators={"pattern": _check_pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("string", _is_text),
)


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Build a validator that fetches nothing: a remote ``$ref`` is an error, not a request.

    Raises:
        ValueError: the schema itself is not JSON Schema 2020-12.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise ValueError(f"not a JSON Schema 2020-12: {exc.message}") from exc
    validator: Draft202012Validator = _Validator(schema, registry=Registry())
    return validator


def problems_of(validator: Draft202012Validator, data: object, path: str = "") -> list[Problem]:
    """Everything that is wrong with ``data`` (at most 100 things), by place, without quoting any value.

    Args:
        validator: From ``validator_of``.
        data: Plain data as ``json`` or ``tomllib`` give it.
        path: What to put in front of every path.
    """
    found = sorted(validator.iter_errors(data), key=lambda error: [str(p) for p in error.absolute_path])
    problems = list(dict.fromkeys(problem for error in found for problem in _problems(error, path)))
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        return [*problems[:_MAX_PROBLEMS], Problem(path, f"and {more} more problems")]
    return problems


def _shown(key: object) -> str:
    """A key of outside data as part of a path: it may be anything."""
    return str(key) if _PLAIN_KEY.fullmatch(str(key)) else "(a key that is not shown)"


def _problems(error: ValidationError, prefix: str) -> Iterator[Problem]:
    path = ".".join([*filter(None, [prefix]), *(_shown(part) for part in error.absolute_path)])
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        missing = [key for key in rule if key not in instance]
        yield from (Problem(f"{path}.{key}".lstrip("."), "is required") for key in missing)
    elif error.validator == "additionalProperties" and isinstance(instance, Mapping):
        schema = error.schema
        known = set(schema.get("properties", ())) if isinstance(schema, Mapping) else set()
        for key in sorted(set(map(str, instance)) - known):
            yield Problem(f"{path}.{_shown(key)}".lstrip("."), "is not known here" + _instead(known))
    else:
        yield Problem(path, _say(str(error.validator), rule))


def _instead(known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"; known: {names}" if names else ""


def _say(keyword: str, rule: Any) -> str:
    match keyword:
        case "type":
            kinds = rule if isinstance(rule, list) else [rule]
            return f"must be of type {' or '.join(kinds)}"
        case "enum":
            return f"must be one of {', '.join(map(str, rule))}"
        case "const":
            return f"must be {rule}"
        case "pattern":
            return f"must match {rule}"
        case "minimum" | "maximum":
            return f"must be at {'least' if keyword == 'minimum' else 'most'} {rule}"
        case "minLength" | "maxLength":
            return f"must have at {'least' if keyword == 'minLength' else 'most'} {rule} characters"
        case "minItems" | "maxItems":
            return f"must have at {'least' if keyword == 'minItems' else 'most'} {rule} entries"
    return f"breaks the rule {keyword!r} of its schema"


class ConsoleSchema:
    """The schema of a console request, for one registry."""

    def __init__(self, registry: ProviderRegistry) -> None:
        """Compose it. Providers that are added to the registry later take part at once.

        Raises:
            ValueError: a provider's ``params_schema`` is not JSON Schema 2020-12.
        """
        self._registry = registry
        self._params: dict[str, Draft202012Validator] = {}
        self._without: dict[str, list[Problem]] = {}
        for name, provider in registry:
            self._params_of(name, provider)
        self._envelope = validator_of(_envelope(_WORD, _WORD))
        self._server_id = validator_of(SERVER_ID)
        self._subject = validator_of(SUBJECT)

    def _params_of(self, name: str, provider: ConsoleProvider) -> Draft202012Validator:
        if name not in self._params:
            self._params[name] = validator_of(provider.params_schema)
        return self._params[name]

    def document(self, at: str = "#") -> dict[str, Any]:
        """The composed schema as plain data: exactly the registered pairs, each with its parameters.

        Args:
            at: Where it will stand in another document, as a JSON Pointer fragment.
        """
        keys = self._registry.pairs()
        envelope = _envelope(
            {"enum": sorted({key.protocol for key in keys})}, {"enum": sorted({key.type for key in keys})}
        )
        return {
            "$schema": DIALECT,
            "$id": "urn:consolekit:schema:console-request:1",
            "title": "A request for a console",
            **envelope,
            **_one_of([self._pair(key, f"{at}/oneOf/{place}") for place, key in enumerate(keys)]),
        }

    def _pair(self, key: ConsoleKey, at: str) -> dict[str, Any]:
        offering = self._registry.offering(key)
        different: list[Mapping[str, Any]] = []
        for _, provider in offering:
            if provider.params_schema not in different:
                different.append(provider.params_schema)
        here = f"{at}/properties/params"
        if len(different) == 1:
            params = _rebased(different[0], here)
        else:
            params = {"anyOf": [_rebased(s, f"{here}/anyOf/{place}") for place, s in enumerate(different)]}
        pair = {
            "title": str(key),
            "properties": {
                "protocol": {"const": key.protocol},
                "type": {"const": key.type},
                "params": params,
            },
        }
        if any(self._params_of(*offer).is_valid({}) for offer in offering):
            return pair
        return {**pair, "required": ["params"]}

    def nova_document(self) -> dict[str, Any]:
        """The same pairs as Nova's ``remote-consoles`` call knows them (API reference, 2.6 and later)."""
        keys = self._registry.pairs()
        pair = {
            "type": "object",
            "properties": {
                "protocol": {"type": "string", "enum": sorted({key.protocol for key in keys})},
                "type": {"type": "string", "enum": sorted({key.type for key in keys})},
            },
            "required": ["protocol", "type"],
            "additionalProperties": False,
            **_one_of(
                {"properties": {"protocol": {"const": key.protocol}, "type": {"const": key.type}}}
                for key in keys
            ),
        }
        return {
            "$schema": DIALECT,
            "title": "Nova's create remote console",
            "type": "object",
            "properties": {"remote_console": pair},
            "required": ["remote_console"],
            "additionalProperties": False,
        }

    def validate(self, server_id: object, data: object, *, subject: str) -> ConsoleRequest:
        """Make a request of outside data; the only way to do so.

        Args:
            server_id: From the path of the call.
            data: The body: ``protocol``, ``type``, and optionally ``subject``, ``mode``, ``params``,
                ``ttl_seconds``.
            subject: The subject where the body names none.

        Raises:
            InvalidRequest: every problem, with its place.
            UnsupportedConsole: the pair is not registered; lists those that are.
            ConsoleNotImplemented: the pair is known and deliberately not offered.
        """
        problems = problems_of(self._envelope, data)
        if not isinstance(data, Mapping) or problems:
            raise InvalidRequest(problems + problems_of(self._server_id, server_id, "server_id"))
        try:
            key = ConsoleKey(data["protocol"], data["type"])
        except ValueError as exc:
            raise InvalidRequest([Problem("protocol, type", str(exc))]) from None
        offering = self._registry.offering(key)
        probe = self.probe(server_id, key, subject=data.get("subject", subject))
        params = data.get("params", {})
        refusals = [problems_of(self._params_of(*offer), params, "params") for offer in offering]
        if all(refusals):
            raise InvalidRequest(refusals[0])
        return attrs.evolve(probe, mode=Mode(data.get("mode", Mode.INTERACT.value)), params=params)

    def params_problems(self, name: str, params: Mapping[str, Any]) -> list[Problem]:
        """What a provider would not take of ``params``.

        Args:
            name: The provider's configured name.
            params: Of a request that was not validated here.

        Raises:
            UnknownServer: the provider is not configured.
        """
        schema = self._params_of(name, self._registry.get(name))
        if params:
            return problems_of(schema, dict(params), "params")
        if name not in self._without:  # what most have, and it stays the same: asked for each console
            self._without[name] = problems_of(schema, {}, "params")
        return self._without[name]

    def check_server_id(self, server_id: object) -> str:
        """The server id, if it can be one.

        Raises:
            InvalidRequest: it breaks the schema.
        """
        if problems := problems_of(self._server_id, server_id, "server_id"):
            raise InvalidRequest(problems)
        return str(server_id)

    def probe(self, server_id: object, key: ConsoleKey, *, subject: str) -> ConsoleRequest:
        """A request without parameters, for asking whether a server has such a console at all.

        Raises:
            InvalidRequest: the server id or the subject breaks the schema.
        """
        problems = problems_of(self._server_id, server_id, "server_id")
        if problems := problems + problems_of(self._subject, subject, "subject"):
            raise InvalidRequest(problems)
        return ConsoleRequest(key=key, server_id=str(server_id), subject=subject)


def _one_of(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Exactly one of the pairs; with no pair at all nothing fits (an empty ``oneOf`` would be no schema)."""
    known: Sequence[Mapping[str, Any]] = list(pairs)
    return {"oneOf": known} if known else {"not": {}}


def _rebased(schema: Any, at: str) -> Any:
    """A schema that now stands at ``at``: its ``#/...`` references still mean its own parts.

    An ``$id`` would do the same; many readers of OpenAPI do not know it.
    """
    if isinstance(schema, Mapping):
        return {
            key: f"{at}{value[1:]}" if key == "$ref" and str(value).startswith("#") else _rebased(value, at)
            for key, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return [_rebased(item, at) for item in schema]
    return schema


def _envelope(protocol: Mapping[str, Any], kind: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "protocol": dict(protocol),
            "type": dict(kind),
            "subject": SUBJECT,
            "mode": {"enum": [mode.value for mode in Mode]},
            "ttl_seconds": TTL,
            "params": {"type": "object"},
        },
        "required": ["protocol", "type"],
        "additionalProperties": False,
    }
