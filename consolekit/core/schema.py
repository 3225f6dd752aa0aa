"""Core: the ``<protocol, type>`` JSON Schema, composed from what is registered.

The only door to jsonschema. The whole schema (``ConsoleSchema.document``) is what ``consolekit schema``
exports and OpenAPI shows. Validation goes the same way in three steps, so that an unregistered *pair* is told as such, with the pairs that exist,
and no error text ever quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry

from consolekit.core.errors import InvalidRequest, Problem
from consolekit.core.registry import ProviderRegistry
from consolekit.core.types import ConsoleKey, ConsoleRequest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_TTL_SECONDS = 600
SERVER_ID = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9._:@-]*$",
    "minLength": 1,
    "maxLength": 128,
}
SUBJECT = {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]+$", "minLength": 1, "maxLength": 128}
TTL = {"type": "integer", "minimum": 1, "maximum": MAX_TTL_SECONDS}
_WORD = {"type": "string", "maxLength": 64}
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Build a validator that fetches nothing: a remote ``$ref`` is an error, not a request.

    Raises:
        ValueError: the schema itself is not JSON Schema 2020-12.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as exc:
        raise ValueError(f"not a JSON Schema 2020-12: {exc.message}") from exc
    return Draft202012Validator(schema, registry=Registry())


def problems_of(validator: Draft202012Validator, data: object, path: str = "") -> list[Problem]:
    """Everything that is wrong with ``data``, by place, without quoting any value of it.

    Args:
        validator: From ``validator_of``.
        data: Plain data as ``json`` or ``tomllib`` give it.
        path: What to put in front of every path.
    """
    found = sorted(validator.iter_errors(data), key=lambda error: [str(p) for p in error.absolute_path])
    return [problem for error in found for problem in _problems(error, path)]


def _problems(error: ValidationError, prefix: str) -> Iterator[Problem]:
    path = ".".join([*filter(None, [prefix]), *(str(part) for part in error.absolute_path)])
    rule: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "required":
        missing = [key for key in rule if key not in instance]
        yield from (Problem(f"{path}.{key}".lstrip("."), "is required") for key in missing)
    elif error.validator == "additionalProperties" and isinstance(instance, Mapping):
        schema = error.schema
        known = set(schema.get("properties", ())) if isinstance(schema, Mapping) else set()
        for key in sorted(set(map(str, instance)) - known):
            shown = key if _PLAIN_KEY.fullmatch(key) else "(an unprintable key)"
            yield Problem(f"{path}.{shown}".lstrip("."), "is not known here" + _instead(known))
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
        """Compose it; call again when the registry has changed.

        Raises:
            ValueError: a provider's ``params_schema`` is not JSON Schema 2020-12.
        """
        self._registry = registry
        self._params = {
            key: [validator_of(provider.params_schema) for _, provider in registry.offering(key)]
            for key in registry.pairs()
        }
        self._envelope = validator_of(_envelope(_WORD, _WORD))
        self._server_id = validator_of(SERVER_ID)
        self._subject = validator_of(SUBJECT)

    def document(self) -> dict[str, Any]:
        """The composed schema as plain data: exactly the registered pairs, each with its parameters."""
        keys = self._registry.pairs()
        envelope = _envelope(
            {"enum": sorted({key.protocol for key in keys})}, {"enum": sorted({key.type for key in keys})}
        )
        return {
            "$schema": DIALECT,
            "$id": "urn:consolekit:schema:console-request:1",
            "title": "A request for a console",
            **envelope,
            "oneOf": [self._pair(key) for key in keys],
        }

    def _pair(self, key: ConsoleKey) -> dict[str, Any]:
        params = [dict(provider.params_schema) for _, provider in self._registry.offering(key)]
        return {
            "title": str(key),
            "properties": {
                "protocol": {"const": key.protocol},
                "type": {"const": key.type},
                "params": params[0] if len(params) == 1 else {"anyOf": params},
            },
        }

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
            "oneOf": [
                {"properties": {"protocol": {"const": key.protocol}, "type": {"const": key.type}}}
                for key in keys
            ],
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
            data: The body: ``protocol``, ``type``, and optionally ``subject``, ``params``, ``ttl_seconds``.
            subject: The subject where the body names none.

        Raises:
            InvalidRequest: every problem, with its place.
            UnsupportedConsole: the pair is not registered; lists those that are.
            ConsoleNotImplemented: the pair is known and deliberately not offered.
        """
        problems = problems_of(self._envelope, data)
        if not isinstance(data, Mapping) or problems:
            raise InvalidRequest(problems)
        try:
            key = ConsoleKey(data["protocol"], data["type"])
        except ValueError as exc:
            raise InvalidRequest([Problem("protocol, type", str(exc))]) from None
        self._registry.offering(key)
        params = data.get("params", {})
        refusals = [problems_of(validator, params, "params") for validator in self._params[key]]
        if all(refusals):
            raise InvalidRequest(refusals[0])
        probe = self.probe(server_id, key, subject=data.get("subject", subject))
        return attrs.evolve(probe, params=params)

    def probe(self, server_id: object, key: ConsoleKey, *, subject: str) -> ConsoleRequest:
        """A request without parameters, for asking whether a server has such a console at all.

        Raises:
            InvalidRequest: the server id or the subject breaks the schema.
        """
        problems = problems_of(self._server_id, server_id, "server_id")
        if problems := problems + problems_of(self._subject, subject, "subject"):
            raise InvalidRequest(problems)
        return ConsoleRequest(key=key, server_id=str(server_id), subject=subject)


def _envelope(protocol: Mapping[str, Any], kind: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "protocol": dict(protocol),
            "type": dict(kind),
            "subject": SUBJECT,
            "ttl_seconds": TTL,
            "params": {"type": "object"},
        },
        "required": ["protocol", "type"],
        "additionalProperties": False,
    }
