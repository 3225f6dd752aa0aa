"""Auth: how a configuration names the database of the ``sql`` store. Reads files; connects to nothing.

No error quotes a value: a URL may hold a password.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from consolekit.core.errors import ConfigError, Problem

CONFIG_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {
            "type": "string",
            "minLength": 1,
            "writeOnly": True,  # whole: where a password ends that was not percent-encoded, nobody can say
            "description": "The database: `postgresql://user@host/name`, `mariadb://user@host/name`, or "
            "`sqlite:////absolute/path`. A password may stand in it; better it has a file of its own.",
        },
        "url_file": {
            "type": "string",
            "minLength": 1,
            "format": "path",
            "description": "A file with the URL instead; read at start.",
        },
        "password_file": {
            "type": "string",
            "minLength": 1,
            "format": "path",
            "description": "A file with the password; read at start.",
        },
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "format": "path",
            "description": "PEM file of the CAs of the database's certificate: with it the connection is "
            "encrypted, and certificate and host name are verified.",
        },
    },
}

_DRIVERS: Final = {"postgresql": "asyncpg", "mariadb": "aiomysql", "sqlite": "aiosqlite"}
_EXTRAS: Final = {"postgresql": "postgres", "mariadb": "mariadb", "sqlite": "sql"}
_FORMS: Final = "postgresql://user@host/name, mariadb://user@host/name or sqlite:////absolute/path"


def read_options(config: Mapping[str, Any]) -> tuple[URL, dict[str, Any]]:
    """The database's URL, with its password, and what else the driver is to know.

    Args:
        config: The operator's table, which ``CONFIG_SCHEMA`` has accepted; paths are absolute.

    Raises:
        ConfigError: the URL is none of ours, a file cannot be read, or the driver is not installed.
    """
    if ("url" in config) == ("url_file" in config):
        raise _wrong("url", f"name the database, by url or url_file (one of them): {_FORMS}")
    place = "url" if "url" in config else "url_file"
    url = _parsed(config["url"] if place == "url" else _text(config, "url_file"), place)
    if problems := list(_problems(url, place, config)):
        raise ConfigError(problems)
    if "password_file" in config:
        url = url.set(password=_text(config, "password_file"))
    return url, {"ssl": _tls(config["ca_file"])} if "ca_file" in config else {}


def _parsed(text: str, place: str) -> URL:
    try:
        url = make_url(text)
        kind, _, driver = url.drivername.partition("+")
    except (ArgumentError, ValueError):
        raise _wrong(place, f"is no database URL; write {_FORMS}") from None
    ours = _DRIVERS.get(kind)
    if ours is None:
        raise _wrong(place, f"is of no database that is supported; write {_FORMS}")
    if driver not in ("", ours):
        raise _wrong(
            place, f"names a driver that is not supported; write {kind}+{ours}://, or only {kind}://"
        )
    if importlib.util.find_spec(ours) is None:
        raise _wrong(place, f"{ours} is not installed: pip install 'consolekit[{_EXTRAS[kind]}]'")
    return url.set(drivername=f"{kind}+{ours}")


def _problems(url: URL, place: str, config: Mapping[str, Any]) -> Iterator[Problem]:
    if url.get_backend_name() == "sqlite":
        if url.host or url.query or not os.path.isabs(url.database or ""):
            yield Problem(place, "SQLite needs a file by its absolute path: sqlite:////absolute/path")
        for key in ("password_file", "ca_file"):
            if key in config:
                yield Problem(key, "SQLite has none: leave it out")
        return
    if not url.database:
        yield Problem(place, f"names no database: write {url.get_backend_name()}://user@host/name")
    if {"password", "passwd"} & set(url.query):
        yield Problem(place, "a password does not belong behind the question mark: use password_file")
    if "password_file" in config and url.password is not None:
        yield Problem("password_file", "there is a password in the URL already: leave one of them out")


def _text(config: Mapping[str, Any], key: str) -> str:
    try:
        text = Path(config[key]).read_text(encoding="utf-8").strip("\r\n")
    except OSError as exc:
        raise _wrong(key, f"{config[key]}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise _wrong(key, f"{config[key]}: is not UTF-8") from None
    if not text:
        raise _wrong(key, f"{config[key]}: is empty")
    return text


def _tls(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise _wrong("ca_file", f"{path}: holds no certificate in PEM form") from None
    except OSError as exc:
        raise _wrong("ca_file", f"{path}: {exc.strerror}") from exc


def _wrong(path: str, message: str) -> ConfigError:
    return ConfigError([Problem(path, message)])
