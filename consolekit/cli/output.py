"""CLI: what commands print: tables, JSON, problems. Results go to standard output, the rest to error."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from consolekit.core.errors import Problem


def say(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(text)


def note(text: str = "") -> None:
    """Print a line that is not the result: on standard error, so that pipes stay clean."""
    click.echo(text, err=True)


def warn(text: str) -> None:
    """Print a warning."""
    note(f"{click.style('warning:', fg='yellow', bold=True)} {text}")


def fail(text: str, problems: Iterable[Problem] = ()) -> None:
    """Print an error, with one line for each problem."""
    note(f"{click.style('error:', fg='red', bold=True)} {text}")
    for problem in problems:
        note(f"  {problem}")


def say_json(data: Any) -> None:
    """Print JSON, for programs and for people."""
    say(json.dumps(data, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, columns aligned; empty cells as ``-``."""
    cells = [list(head), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def moment(seconds: float) -> str:
    """An instant (epoch s) in UTC, as RFC 3339 writes it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
