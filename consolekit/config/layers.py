"""Config: a file, the environment and flags become one tree of plain data, each value with its origin.

Knows TOML and how variables are named; knows nothing of which keys there are, but whether a word is meant
as text (the caller says). No error quotes a value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from consolekit.core.errors import ConfigError, Problem

ENV_PREFIX = "CONSOLEKIT_"
DEFAULT_FILE = Path("/etc/consolekit/consolekit.toml")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_DEEPEST = 32  # levels of tables and arrays; what is above is no configuration
_TOO_DEEP = f"is nested over {_DEEPEST} levels deep"
_TOO_LONG = "holds a whole number of more than 64 bits"
_VARIABLE = re.compile(r"[A-Za-z0-9_.-]+(__[A-Za-z0-9_.-]+)+")
PathKey = tuple[str, ...]


@attrs.frozen(kw_only=True)
class Origin:
    """Where a value came from.

    Attributes:
        kind: ``file``, ``env``, ``flag`` or ``default``.
        name: The file, the variable or the flag; empty for a default.
        base: What relative paths of this origin are relative to.
        text: What the variable held, where it was read as something else than text; never printed.
    """

    kind: str
    name: str = ""
    base: Path = attrs.field(factory=Path.cwd)
    text: str | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


DEFAULT = Origin(kind="default", base=Path("/"))


@attrs.define
class Tree:
    """Tables of tables, and the origin of every leaf. Arrays are leaves: they are replaced, not merged."""

    data: dict[str, Any] = attrs.field(factory=dict)
    origins: dict[PathKey, Origin] = attrs.field(factory=dict)

    def set(self, path: PathKey, value: Any, origin: Origin) -> None:
        """Put a value; a table is merged with the one that is there, anything else replaces.

        Raises:
            ValueError: a part of the path is there and is no table.
        """
        if isinstance(value, dict):
            self._table(path)
            for key, item in value.items():
                self.set((*path, key), item, origin)
            if not value:
                self.origins.setdefault(path, origin)
            return
        table = self._table(path[:-1])
        for old in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[old]
        table[path[-1]] = value
        self.origins[path] = origin

    def _table(self, path: PathKey) -> dict[str, Any]:
        table = self.data
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                # not a TypeError: what is wrong is the operator's data, not our call
                raise ValueError("a part of its path has a value, so nothing can be in it")  # noqa: TRY004
        return table

    def origin(self, path: PathKey) -> Origin:
        """Whence the value, or the table it is in, came."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return next((of for known, of in self.origins.items() if known[: len(path)] == path), DEFAULT)


def expanded(text: str) -> Path:
    """A path in which ``~`` and ``~name`` stand for homes.

    Raises:
        ValueError: nobody of that name is known here.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home directory of somebody who is not known here") from None


def find_file(explicit: Path | None, env: Mapping[str, str]) -> Path | None:
    """Which file: the given one, ``$CONSOLEKIT_CONFIG``, the system's if it is there. Nothing else.

    A file of the working directory is never taken: who can write there would decide what is run.
    """
    if explicit is not None:
        return explicit
    if env.get(f"{ENV_PREFIX}CONFIG"):
        return Path(env[f"{ENV_PREFIX}CONFIG"])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def add_file(tree: Tree, file: Path) -> None:
    """Lay a TOML file under everything.

    Raises:
        ConfigError: it cannot be read, is no TOML (with line and column), or is more than a configuration.
    """
    try:
        data = _read(file.read_bytes().decode("utf-8"))
    except OSError as exc:
        raise ConfigError([Problem(str(file), f"cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([Problem(str(file), f"is not UTF-8 (at byte {exc.start})")]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([_syntax_problem(file, str(exc))]) from exc
    except ValueError as exc:
        raise ConfigError([Problem(str(file), str(exc))]) from None
    origin = Origin(kind="file", name=str(file), base=file.absolute().parent)
    for key, value in data.items():
        tree.set((key,), value, origin)


def _read(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        TOMLDecodeError: it is none.
        ValueError: it is nested too deep, or holds a whole number of more than 64 bits (TOML 1.0, Integer).
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:  # of int(): thousands of digits
        raise ValueError(_TOO_LONG) from None
    _check_size(data, 0)
    return data


def _check_size(value: Any, level: int) -> None:
    if level > _DEEPEST:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(_TOO_LONG)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_size(item, level + 1)


def _syntax_problem(file: Path, text: str) -> Problem:
    found = _POSITION.search(text)
    place = ":".join([str(file), *(found.groups() if found and found[1] else ["end of file"])])
    # tomllib quotes at most one character or a key of the file, never a value
    said = text[: found.start()] if found else text
    return Problem(place, f"is not TOML: {said[:1].lower()}{said[1:]}")


def add_environment(
    tree: Tree, env: Mapping[str, str], *, text_paths: frozenset[PathKey], known: Iterable[PathKey]
) -> Iterator[Problem]:
    """Lay ``CONSOLEKIT_SECTION__KEY`` variables over the tree.

    Args:
        tree: The tree.
        env: The environment.
        text_paths: Keys whose value is text, so that ``5`` is not read as a number.
        known: Every key with a fixed name, to tell a variable with one underscore too few.

    Yields:
        Each variable that cannot be meant.
    """
    near = {f"{ENV_PREFIX}{'_'.join(path)}".upper(): path for path in known}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX):
            continue
        if name in near:
            right = f"{ENV_PREFIX}{'__'.join(near[name])}".upper()
            yield Problem(f"environment {name}", f"is not read; write {right}, with two underscores")
        elif _VARIABLE.fullmatch(words := name.removeprefix(ENV_PREFIX)):
            try:
                path = _place(tree.data, words.split("__"))
                value, text = _value(env[name], is_text=path in text_paths)
                tree.set(path, value, Origin(kind="env", name=name, text=text))
            except ValueError as exc:
                yield Problem(f"environment {name}", str(exc))


def _place(table: Any, words: list[str]) -> PathKey:
    """Find the keys that a variable means: those that are there, ``WEB_1`` standing for ``web-1``."""
    path: list[str] = []
    for word in words:
        matching = [key for key in table if _plain(key) == _plain(word)] if isinstance(table, dict) else []
        exact = [key for key in matching if key == word]
        if len(matching) > 1 and not exact:
            raise ValueError(f"could mean {' or '.join(sorted(matching))}; set it in the file")
        key = (exact or matching or [word.lower()])[0]
        table = table.get(key) if isinstance(table, dict) else None
        path.append(key)
    return tuple(path)


def _plain(key: str) -> str:
    return re.sub(r"[-.]", "_", key.lower())


def _value(text: str, *, is_text: bool) -> tuple[Any, str | None]:
    """Read a variable as TOML, or as the plain text that it is."""
    if is_text:
        return text, None
    try:
        found = _read(f"value = {text}")
    except ValueError:
        return text, None
    return (found["value"], text) if list(found) == ["value"] else (text, None)


def add_flags(tree: Tree, flags: Mapping[str, tuple[PathKey, Any]]) -> None:
    """Lay command-line flags over everything: by flag, the path and the value."""
    for flag, (path, value) in flags.items():
        tree.set(path, value, Origin(kind="flag", name=flag))
