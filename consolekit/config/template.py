"""Config: an example configuration, every key with its meaning and its default. Writes no file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from consolekit.config.model import Config, settings
from consolekit.config.toml import toml_value
from consolekit.core.address import Address

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_HEAD = """\
# consolekit: remote consoles of virtual machines in the browser.
#
# Every key is here with its default, behind a # where it need not be set. The environment can set each of
# them too, and wins: CONSOLEKIT_TOKENS__SECONDS is tokens.seconds. Relative paths start at this file.
#
#   consolekit config check FILE    find every mistake, open no port
#   consolekit config show          what is in force (--origin: and where it comes from)
#   consolekit serve --config FILE  proxy, API and metrics
"""
_KEYS = """\
# Callers of the API. `consolekit key new NAME` makes a key and prints what to put here: only its hash.
# servers and subjects are shell patterns of what the key may ask for; a key with modes = ["view"] makes
# links for looking only.
"""
_PROVIDERS = """\
# Where consoles come from: [providers.NAME], asked in this order. `consolekit providers list` shows what
# can be used. This one shows VNC servers: QEMU, TigerVNC, x11vnc and their kind.
[providers.lab]
use = "vnc"

# One table for each server; its name is the id that callers ask for.
[providers.lab.servers.example]
address = "127.0.0.1:5900"                 # host:port, [IPv6]:port or unix:/path
#password_file = "example.password"        # read again at every console; or password = "..."
#tls = { ca_file = "ca.pem" }              # VeNCrypt; the certificate must name the host
"""

_VALIDATORS = """\
# Whose tokens open consoles besides our own: [validators.NAME]. This one asks OpenStack's Nova.
#[validators.cloud]
#use = "nova"
#vnc_provider = "lab"                      # a provider above, with an adopt table
#auth = { auth_url = "https://keystone.example.org/v3", username = "consolekit" }
"""
_BY_HAND = {"providers": _PROVIDERS, "validators": _VALIDATORS}


def example(*, key_name: str = "portal", key_sha256: str = "") -> str:
    """A whole, commented configuration.

    Args:
        key_name: Name of the one API key.
        key_sha256: Its hash; without one the key's table is commented out.
    """
    parts = [_HEAD]
    for section in attrs.fields(Config):
        if section.name in _BY_HAND:
            parts.append(_BY_HAND[section.name])
            continue
        parts.append("\n".join(_section(section.name, section.metadata["doc"])) + "\n")
        if section.name == "api":
            parts.append(_KEYS + _key(key_name, key_sha256))
    return "\n".join(parts)


def key_table(
    name: str, sha256: str, servers: list[str], subjects: list[str], modes: Sequence[str] = ()
) -> str:
    """The table of one API key; without modes it is for all of them."""
    return (
        f"[api.keys.{name}]\n"
        f"sha256 = {toml_value(sha256)}\n"
        f"servers = {toml_value(servers)}\n"
        f"subjects = {toml_value(subjects)}\n"
    ) + (f"modes = {toml_value(list(modes))}\n" if modes else "")


def check_key_name(name: str) -> None:
    """See that a name can stand in ``[api.keys.NAME]`` as it is.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("is made of letters, digits, _ and -, and begins with no -; at most 64")


def _key(name: str, sha256: str) -> str:
    table = key_table(name, sha256 or "64 hexadecimal digits", ["*"], ["*"])
    return table if sha256 else textwrap.indent(table, "#")


def _section(name: str, doc: str) -> Iterator[str]:
    yield f"# {doc}"
    yield f"[{name}]"
    for setting in settings():
        if setting.path.startswith(f"{name}."):
            yield from textwrap.wrap(
                setting.doc.replace("`", ""), 104, initial_indent="# ", subsequent_indent="# "
            )
            yield f"#{setting.path.partition('.')[2]} = {toml_value(_plain(setting.default))}"
    if name == "tokens":
        yield "# Of the store sqlite: its file. Default: /var/lib/consolekit/consolekit.db for root, else"
        yield "# $XDG_STATE_HOME/consolekit/consolekit.db."
        yield '#path = "/var/lib/consolekit/consolekit.db"'


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Address | Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value
