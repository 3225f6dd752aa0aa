"""CLI: the arguments that say which console is wanted, for whom and for how long. Knows no kit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from consolekit.core.schema import MAX_TTL_SECONDS
from consolekit.core.types import Mode

_Function = TypeVar("_Function", bound=Callable[..., Any])


def wanted_console(function: _Function) -> _Function:
    """Add ``SERVER`` and its options; the command gets ``server`` and ``data``, for ``ConsoleKit.create``."""

    @functools.wraps(function)
    def gather(
        *args: Any, protocol: str, kind: str, view: bool, subject: str | None, ttl: int | None, **rest: Any
    ) -> Any:
        mode = Mode.VIEW if view else Mode.INTERACT
        data: dict[str, str | int] = {"protocol": protocol, "type": kind, "mode": mode.value}
        if subject is not None:
            data["subject"] = subject
        if ttl is not None:
            data["ttl_seconds"] = ttl
        return function(*args, data=data, **rest)

    decorated: Any = gather
    for decorate in reversed(_PARAMETERS):
        decorated = decorate(decorated)
    wrapped: _Function = decorated
    return wrapped


_PARAMETERS: list[Callable[[Any], Any]] = [
    click.argument("server"),
    click.option("--protocol", default="vnc", show_default=True, help="What the hypervisor speaks."),
    click.option("--type", "kind", default="novnc", show_default=True, help="What the viewer is."),
    click.option("--view", is_flag=True, help="For looking only: what the viewer puts in is dropped."),
    click.option("--subject", help="For whom it is.  [default: local:USER, or the API key's name]"),
    click.option(
        "--ttl",
        type=click.IntRange(1, MAX_TTL_SECONDS),
        metavar="SECONDS",
        help="How long it may be opened.  [default: tokens.seconds]",
    ),
]
