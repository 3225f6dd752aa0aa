"""Config: finds the file, lays environment and flags over it, and gives the model or every problem at once.

Knows how configurations are given; loads no plug-in and opens no port.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from consolekit.config.consistency import contradictions
from consolekit.config.layers import (
    DEFAULT,
    Origin,
    PathKey,
    Tree,
    add_environment,
    add_file,
    add_flags,
    expanded,
    find_file,
)
from consolekit.config.model import Config, settings
from consolekit.config.structure import leaf_paths, structure
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError, Problem

_TEXT = leaf_paths(str, Address, Address | None, Path | None)
_PATHS = leaf_paths(Path | None)


@attrs.frozen(kw_only=True)
class Loaded:
    """A configuration and where each of its values came from.

    Attributes:
        config: The model.
        tree: What was written, in plain data, with origins.
        file: The file it came from, None where there was none.
    """

    config: Config
    tree: Tree = attrs.field(factory=Tree, repr=False)
    file: Path | None = None

    def origin(self, path: PathKey) -> Origin:
        """Whence a value came; ``DEFAULT`` where nobody decided."""
        return self.tree.origin(path) if path in self.tree.origins else DEFAULT


def load(
    file: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    also: Callable[[Loaded], list[Problem]] | None = None,
) -> Loaded:
    """Read the configuration: file < environment < flags.

    Args:
        file: The file; default: ``$CONSOLEKIT_CONFIG``, then the system's, if it is there.
        env: The environment; default: the process's.
        flags: By flag, the dotted key that it sets and the value; None is "not given".
        also: Finds what else is wrong, such as in plug-ins' own tables. Asked only where something is wrong
            already, about the sections that are right, so that everything is told at once.

    Raises:
        ConfigError: everything that is wrong, with its place.
    """
    env = os.environ if env is None else env
    found = find_file(file, env)
    tree = Tree()
    if found is not None:
        add_file(tree, found)
    problems = list(
        add_environment(tree, env, text_paths=_TEXT, known=[tuple(s.path.split(".")) for s in settings()])
    )
    given = {
        flag: (tuple(path.split(".")), value)
        for flag, (path, value) in (flags or {}).items()
        if value is not None
    }
    add_flags(tree, given)
    _make_paths_absolute(tree)
    try:
        config = structure(tree.data)
        problems += contradictions(config)
    except ConfigError as exc:
        problems += exc.problems
        config = _what_is_right(tree)
    loaded = Loaded(config=config, tree=tree, file=found)
    if problems:
        raise ConfigError([*name_origins(tree, problems), *(also(loaded) if also else ())])
    return loaded


def _what_is_right(tree: Tree) -> Config:
    """The sections that can be read, with defaults in the place of the others."""
    right: dict[str, Any] = {}
    for name, section in tree.data.items():
        try:
            structure({name: section})
        except ConfigError:
            continue
        right[name] = section
    return structure(right)


def name_origins(tree: Tree, problems: list[Problem]) -> list[Problem]:
    """Say of each problem that did not come from the file where it came from."""
    return [_with_origin(tree, problem) for problem in problems]


def _with_origin(tree: Tree, problem: Problem) -> Problem:
    origin = tree.origins.get(tuple(problem.path.split(".")), DEFAULT)
    if origin.kind not in ("env", "flag"):
        return problem
    kind = "environment" if origin.kind == "env" else "flag"
    return attrs.evolve(problem, message=f"{problem.message} (set by {kind} {origin.name})")


def _make_paths_absolute(tree: Tree) -> None:
    """A relative path starts at the file it stands in; that of a variable or flag, where we are."""
    for section, key in _PATHS:
        table = tree.data.get(section)
        value = table.get(key) if isinstance(table, dict) else None
        if table and isinstance(value, str) and value:
            try:
                table[key] = str(tree.origin((section, key)).base / expanded(value))
            except ValueError:  # it stays, and is told with all that is wrong in its place
                continue
