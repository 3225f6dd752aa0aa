"""Config: what a plug-in's JSON Schema says of its keys beyond validity: which are paths, which secret.

Pure functions over plain data. ``"format": "path"`` marks a path of a file, which may be written relative to
the configuration; ``"writeOnly": true`` marks what must not be shown. Names say it too, where schemas do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SECRET_NAME = re.compile(r"(^|[_-])(password|passwd|passphrase|secret|key|token)$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[_-]file$", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
MASK = "***"
Schema = Mapping[str, Any]


def at(schema: Schema, key: str | int) -> list[Schema]:
    """Every subschema that speaks about a member (or entry) of what ``schema`` speaks about."""
    return [found for part in _parts(schema, schema, 0) for found in _member(part, schema, key)]


def _parts(schema: Any, root: Schema, depth: int) -> Iterator[Schema]:
    """Give the schema and what it is composed of; a chain of references has an end."""
    if not isinstance(schema, Mapping) or depth > 16:
        return
    yield schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        yield from _parts(_resolve(root, reference), root, depth + 1)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword, ()):
            yield from _parts(part, root, depth + 1)
    for keyword in ("if", "then", "else"):
        yield from _parts(schema.get(keyword), root, depth + 1)


def _resolve(root: Schema, reference: str) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _member(schema: Schema, root: Schema, key: str | int) -> Iterator[Schema]:
    if isinstance(key, int):
        candidates = [schema.get("items")]
    else:
        candidates = [schema.get("properties", {}).get(key)]
        candidates += [
            inner for pattern, inner in schema.get("patternProperties", {}).items() if re.search(pattern, key)
        ]
        if not any(isinstance(found, Mapping) for found in candidates):
            candidates = [schema.get("additionalProperties")]
    for found in candidates:
        for part in _parts(found, root, 0):
            yield {**part, "$defs": root.get("$defs", {})} if part is found else part


def is_path(name: str, schemas: list[Schema]) -> bool:
    """True if the text under this key is a file's path."""
    return any(schema.get("format") == "path" for schema in schemas) or bool(_FILE_NAME.search(name))


def is_secret(name: str, schemas: list[Schema]) -> bool:
    """True if what is under this key must not be shown."""
    if any(schema.get("writeOnly") is True for schema in schemas):
        return True
    return bool(_SECRET_NAME.search(name)) and not is_path(name, schemas)


def masked(table: Any, schemas: list[Schema], name: str = "") -> Any:
    """The same data for people: secrets as ``***``, and users and passwords inside URLs too."""
    if is_secret(name, schemas):
        return MASK if table not in ("", None) else table
    if isinstance(table, Mapping):
        return {key: masked(item, _all_at(schemas, key), key) for key, item in table.items()}
    if isinstance(table, list):
        return [masked(item, _all_at(schemas, number)) for number, item in enumerate(table)]
    return _USER_INFO.sub(f"{MASK}@", table) if isinstance(table, str) else table


def with_paths(
    table: Any,
    schemas: list[Schema],
    resolve: Callable[[tuple[str, ...], str], str],
    path: tuple[str, ...] = (),
) -> Any:
    """The same data with every path made absolute.

    Args:
        table: Plain data.
        schemas: What speaks about it.
        resolve: Makes the text at a place absolute.
        path: Where ``table`` is.
    """
    if isinstance(table, Mapping):
        return {
            key: with_paths(item, _all_at(schemas, key), resolve, (*path, key)) for key, item in table.items()
        }
    if isinstance(table, list):
        return [
            with_paths(item, _all_at(schemas, number), resolve, (*path, str(number)))
            for number, item in enumerate(table)
        ]
    if isinstance(table, str) and table and is_path(path[-1] if path else "", schemas):
        return resolve(path, table)
    return table


def _all_at(schemas: list[Schema], key: str | int) -> list[Schema]:
    return [found for schema in schemas for found in at(schema, key)]
