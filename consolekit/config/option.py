"""Config: how a documented, checked field is made. Knows no section and no file.

No check quotes the value that it refuses: it could be a secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from consolekit.config.weburls import check_base_url
from consolekit.core.networks import Networks
from consolekit.core.types import ConsoleKey

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
Check = Callable[[Any], None]


def option(
    doc: str, default: Any = attrs.NOTHING, *, check: Check | None = None, factory: Any = None, **rest: Any
) -> Any:
    """Make a documented field.

    Args:
        doc: What it decides, for people, in Markdown.
        default: Value where nobody decides.
        check: Raises ValueError, without quoting the value, where the type alone does not say enough.
        factory: Makes the default instead.
        **rest: What else ``attrs.field`` takes.
    """

    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if check is not None:
            try:
                check(value)
            except ValueError as exc:
                raise ValueError(f"{attribute.name} {exc}") from None

    if factory is not None:
        default = attrs.Factory(factory)
    return attrs.field(default=default, validator=validate, metadata={"doc": doc, "check": check}, **rest)


def between(low: float, high: float | None = None) -> Check:
    """Check of a number's range; no upper end where ``high`` is None."""

    def check(value: float) -> None:
        if not value >= low or (high is not None and value > high) or value == float("inf"):
            raise ValueError(f"must be from {low:g} to {high:g}" if high else f"must be at least {low:g}")

    return check


def one_of(*words: str) -> Check:
    """Check of a word."""

    def check(value: str) -> None:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")

    return check


def each(check_one: Callable[[str], None]) -> Check:
    """Check of every entry of a list."""

    def check(values: tuple[str, ...]) -> None:
        for number, value in enumerate(values):
            try:
                check_one(value)
            except ValueError as exc:
                raise ValueError(f"entry {number} {exc}") from None

    return check


def base_url(text: str) -> None:
    """Check of the base URL; empty is allowed.

    Raises:
        ValueError: it does not hold.
    """
    if text:
        check_base_url(text)


def base_urls(urls: Mapping[str, str]) -> None:
    """Check of base URLs by console type.

    Raises:
        ValueError: a name is no console type, or a URL does not hold.
    """
    for name, url in urls.items():
        try:
            ConsoleKey("any", name)
        except ValueError:
            raise ValueError("has a key that is no console type such as webmks") from None
        try:
            check_base_url(url)
        except ValueError as exc:
            raise ValueError(f"{name} {exc}") from None


def sha256(text: str) -> None:
    """Check of a SHA-256 in hex.

    Raises:
        ValueError: it does not hold.
    """
    if not _SHA256.fullmatch(text):
        raise ValueError(
            "must be 64 hexadecimal digits; `consolekit key new NAME` prints a key with its hash"
        )


def patterns(values: tuple[str, ...]) -> None:
    """Check of a list of shell patterns.

    Raises:
        ValueError: it does not hold.
    """
    if not values or not all(values):
        raise ValueError('must name at least one pattern, for example ["*"]')


def networks(values: tuple[str, ...]) -> None:
    """Check of a list of networks.

    Raises:
        ValueError: one is none.
    """
    Networks.parse(values)


def word(text: str) -> None:
    """Check of a name that must be there.

    Raises:
        ValueError: it does not hold.
    """
    if not text:
        raise ValueError("must not be empty")
