"""Config: a tree of plain data becomes the model, or a list of everything that is wrong with it.

The one place that knows cattrs. Its own conversions are too kind (6081.7 becomes 6081, "60" becomes 60):
every leaf has a strict hook here. No error quotes a value.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from consolekit.config.layers import expanded
from consolekit.config.model import (
    AdminConfig,
    ApiConfig,
    ApiKey,
    Config,
    HooksConfig,
    LimitsConfig,
    LogConfig,
    ProviderConfig,
    ProxyConfig,
    TimeoutsConfig,
    TokensConfig,
    ValidatorConfig,
)
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError, Problem

_SECTIONS = (
    ProxyConfig,
    ApiConfig,
    ApiKey,
    AdminConfig,
    LimitsConfig,
    TimeoutsConfig,
    LogConfig,
    HooksConfig,
)
_OPEN_SECTIONS = (TokensConfig, ProviderConfig, ValidatorConfig)  # a plug-in's own keys stand beside ours
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
    datetime.datetime: "a date",
    datetime.date: "a date",
    datetime.time: "a time",
}


def structure(data: Mapping[str, Any]) -> Config:
    """Make the model.

    Raises:
        ConfigError: everything that is wrong with the data, with its path.
    """
    try:
        return _CONVERTER.structure(data, Config)
    except ClassValidationError as exc:
        raise ConfigError(sorted(_problems(exc, ()), key=lambda problem: problem.path)) from None


def leaf_paths(*kinds: Any) -> frozenset[tuple[str, ...]]:
    """Fixed keys whose type is one of these."""
    return frozenset(
        (name, field)
        for name, section in get_type_hints(Config).items()
        if attrs.has(section)
        for field, kind in get_type_hints(section).items()
        if kind in kinds
    )


def _strict(*kinds: type) -> Callable[[Any, Any], Any]:
    """A hook that takes exactly these types."""

    def hook(value: Any, _: Any) -> Any:
        if type(value) not in kinds:
            raise ValueError(f"must be {_NAMES[kinds[0]]}, not {_NAMES.get(type(value), 'this')}")
        return value

    return hook


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"must be a number, not {_NAMES.get(type(value), 'this')}")
    return float(value)


def _address(value: Any, _: Any) -> Address:
    return value if isinstance(value, Address) else Address.parse_listen(_strict(str)(value, str))


def _maybe_address(value: Any, _: Any) -> Address | None:
    return None if value == "" else _address(value, Address)


def _maybe_bool(value: Any, _: Any) -> bool | None:
    return None if value == "" else bool(_strict(bool)(value, bool))


def _maybe_path(value: Any, _: Any) -> Path | None:
    text = _strict(str)(value, str)
    if "\0" in text:
        raise ValueError("must not hold a zero byte")
    return expanded(text) if text else None


def _words(value: Any, _: Any) -> tuple[str, ...]:
    for number, word in enumerate(_strict(list)(value, list)):
        if type(word) is not str:
            raise ValueError(f"entry {number} must be text, not {_NAMES.get(type(word), 'this')}")
    return tuple(value)


def _texts(value: Any, _: Any) -> Mapping[str, str]:
    for name, text in _strict(dict)(value, dict).items():
        if type(text) is not str:
            raise ValueError(f"{name} must be text, not {_NAMES.get(type(text), 'this')}")
    return MappingProxyType(dict(value))


def _table(kind: Any) -> Callable[[Any, Any], Any]:
    """A hook for tables by name."""

    def hook(value: Any, _: Any) -> Mapping[str, Any]:
        found, failures = {}, []
        for name, item in _strict(dict)(value, dict).items():
            try:
                found[name] = _CONVERTER.structure(item, kind)
            except Exception as exc:
                exc.__notes__ = [*getattr(exc, "__notes__", []), AttributeValidationNote("", name, kind)]
                failures.append(exc)
        if failures:
            raise IterableValidationError("tables", failures, kind)
        return found

    return hook


_HOOKS: dict[Any, Callable[[Any, Any], Any]] = {
    bool: _strict(bool),
    bool | None: _maybe_bool,
    int: _strict(int),
    float: _number,
    str: _strict(str),
    Address: _address,
    Address | None: _maybe_address,
    Path | None: _maybe_path,
    tuple[str, ...]: _words,
    Mapping[str, str]: _texts,
    Mapping[str, ApiKey]: _table(ApiKey),
    Mapping[str, ProviderConfig]: _table(ProviderConfig),
    Mapping[str, ValidatorConfig]: _table(ValidatorConfig),
}


def _checked(field: attrs.Attribute[Any], hook: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The type's hook, then the field's own check, so that the failure knows its field."""
    check = field.metadata.get("check")

    def structure_field(value: Any, kind: Any) -> Any:
        found = hook(value, kind)
        if check is not None:
            check(found)
        return found

    return structure_field


def _make_hook(
    section: type, converter: Converter, overrides: Mapping[str, Any]
) -> Callable[[Any, Any], Any]:
    make: Any = make_dict_structure_fn  # its keywords are typed for its own options, not for field names
    hook: Callable[[Any, Any], Any] = make(section, converter, _cattrs_forbid_extra_keys=True, **overrides)
    return hook


def _section_hook(converter: Converter, section: type) -> Callable[[Any, Any], Any]:
    hints = get_type_hints(section)
    overrides = {
        field.name: override(struct_hook=_checked(field, _HOOKS[hints[field.name]]))
        for field in attrs.fields(section)
        if field.name != "options"
    }
    inner = _make_hook(section, converter, overrides)

    def hook(value: Any, kind: Any) -> Any:
        return inner(_strict(dict)(value, dict), kind)

    return hook


def _open_hook(converter: Converter, section: type) -> Callable[[Any, Any], Any]:
    inner = _section_hook(converter, section)
    ours = {field.name for field in attrs.fields(section)} - {"options"}

    def hook(value: Any, kind: Any) -> Any:
        table = _strict(dict)(value, dict)
        made = inner({key: item for key, item in table.items() if key in ours}, kind)
        return attrs.evolve(made, options={key: item for key, item in table.items() if key not in ours})

    return hook


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for section in _SECTIONS:
        converter.register_structure_hook(section, _section_hook(converter, section))
    for open_section in _OPEN_SECTIONS:
        converter.register_structure_hook(open_section, _open_hook(converter, open_section))
    overrides = {
        field.name: override(struct_hook=_HOOKS[hint])
        for field in attrs.fields(Config)
        if (hint := get_type_hints(Config)[field.name]) in _HOOKS
    }
    converter.register_structure_hook(Config, _make_hook(Config, converter, overrides))
    return converter


def _problems(exc: BaseException, path: tuple[str, ...]) -> Iterator[Problem]:
    """Walk cattrs' tree of failures; its notes say which field or entry each belongs to."""
    for note in getattr(exc, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            path = (*path, note.name)
        elif isinstance(note, IterableValidationNote):
            path = (*path, str(note.index))
    if isinstance(exc, ExceptionGroup):
        for inner in exc.exceptions:
            yield from _problems(inner, path)
    elif isinstance(exc, ForbiddenExtraKeysError):
        for key in sorted(map(str, exc.extra_fields)):
            yield Problem(dotted((*path, key)), _unknown(key, exc.cl))
    elif isinstance(exc, KeyError):
        yield Problem(dotted(path), "is required")
    else:
        yield Problem(dotted(path), str(exc))


def _unknown(key: str, section: type) -> str:
    known = [field.name for field in attrs.fields(section) if field.name != "options"]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"is not known here{hint} Known: {', '.join(known)}".replace("here Known", "here; known")


def dotted(path: tuple[str, ...]) -> str:
    """A path as people read it; a key that TOML would have to quote is quoted."""
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else repr(part) for part in path)


_CONVERTER = _make_converter()
