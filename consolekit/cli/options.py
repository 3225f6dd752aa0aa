"""CLI: the flags that commands share, made from the configuration's own documentation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from consolekit.config.load import Loaded, load
from consolekit.config.model import Setting, settings
from consolekit.core.errors import Problem

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SETTINGS = {setting.path: setting for setting in settings()}
_CHOICES = {"log.format": ["text", "json"], "log.level": ["debug", "info", "warning", "error"]}
_VIA = "__via__"
CONFIG_HELP = (
    "Configuration file.  [env: CONSOLEKIT_CONFIG; default: /etc/consolekit/consolekit.toml, if it is there]"
)


def _plugin_problems(loaded: Loaded) -> list[Problem]:
    """Imported when it is needed: most commands load no plug-in."""
    from consolekit.config.build import plugin_problems

    return plugin_problems(loaded)


def config_option(function: _Function) -> _Function:
    """Add ``--config``; the command gets the ``Loaded`` configuration as ``loaded``.

    Flags of ``setting_option`` on the same command are laid over file and environment.
    """

    @functools.wraps(function)
    def load_first(*args: Any, config: Path | None, **rest: Any) -> Any:
        flags: dict[str, tuple[str, Any]] = {}
        for name in [known for known in rest if _VIA in known]:
            path, _, flag = name.partition(_VIA)
            flags["--" + flag.replace("_", "-")] = (path.replace("__", "."), rest.pop(name))
        if rest.pop("log_verbose", False) and flags["--log-level"][1] is None:
            flags["--log-level"] = ("log.level", "debug")
        return function(*args, loaded=load(config, flags=flags, also=_plugin_problems), **rest)

    decorated: Any = click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=CONFIG_HELP,
    )(load_first)
    wrapped: _Function = decorated
    return wrapped


def setting_option(flag: str, path: str, metavar: str = "TEXT") -> Callable[[_Function], _Function]:
    """Add a flag that sets one key of the configuration; its help is the key's documentation.

    Args:
        flag: ``--listen``.
        path: ``proxy.listen``.
        metavar: What to call the value.
    """
    setting = _SETTINGS[path]
    # click reads no variable itself: the configuration does, and knows that a flag wins
    decorator: Any = click.option(
        flag,
        _name(flag, path),
        type=_type(setting),
        metavar=None if path in _CHOICES else metavar,
        help=_help(setting),
    )
    typed: Callable[[_Function], _Function] = decorator
    return typed


def _type(setting: Setting) -> Any:
    if setting.path in _CHOICES:
        return click.Choice(_CHOICES[setting.path])
    return int if isinstance(setting.default, int) else str


def _name(flag: str, path: str) -> str:
    """How a command's function would call it: key and flag in one identifier."""
    return path.replace(".", "__") + _VIA + flag.removeprefix("--").replace("-", "_")


def _help(setting: Setting) -> str:
    doc = setting.doc.replace("`", "").rstrip(".") + "."
    default = str(setting.default or "none")
    return f"{doc}  [env: {setting.env}; default: {default}]"


def log_options(function: _Function) -> _Function:
    """Add ``--log-format``, ``--log-level`` and ``-v``."""
    verbose: Any = click.option(
        "-v", "--verbose", "log_verbose", is_flag=True, help="The same as --log-level debug."
    )
    decorated: _Function = verbose(function)
    for flag in ("--log-level", "--log-format"):
        decorated = setting_option(flag, flag.removeprefix("--").replace("-", "."))(decorated)
    return decorated


def json_option(function: _Function) -> _Function:
    """Add ``--json``."""
    decorated: Any = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
    wrapped: _Function = decorated(function)
    return wrapped
