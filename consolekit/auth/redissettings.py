"""Auth: where a Redis is, as the operator's table says it. Knows no Redis client and opens no connection."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import attrs

from consolekit.core.errors import ConfigError, Problem

_PORT: Final = 6379


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "format": "path", "description": description}


CONFIG_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "description": "Where it is: redis://HOST:PORT/DB, rediss://... for TLS, or unix:///PATH?db=DB; "
            "with USER@ before the host if there is one. Never the password.",
        },
        "password_file": _file("File with the password; read again at every login."),
        "ca_file": _file("PEM file of the CAs to trust. Default: the system's."),
        "cert_file": _file("PEM file of our own certificate, where Redis asks for one."),
        "key_file": _file("PEM file of its private key. Default: it is in cert_file."),
        "prefix": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "default": "consolekit",
            "description": "What the names of all keys begin with: sites that share a Redis need one each.",
        },
    },
}


@attrs.frozen(kw_only=True)
class RedisSettings:
    """Where a Redis is and how to log in.

    Attributes:
        host: Its name or address; empty for a unix socket.
        port: Its TCP port.
        path: Its unix socket; empty for TCP.
        db: Number of the database.
        username: Who logs in; empty: Redis' ``default`` user.
        password_file: Where the password is; None: no login.
        tls: Whether the connection is encrypted; the certificate must carry ``host``.
        ca_file: CAs to trust; None: the system's.
        cert_file: Our own certificate; None: none.
        key_file: Its key; None: in ``cert_file``.
        prefix: What all names begin with.
    """

    host: str = ""
    port: int = _PORT
    path: str = ""
    db: int = 0
    username: str = ""
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    prefix: str = "consolekit"

    def __str__(self) -> str:
        """Where it is, for people: no user, no password."""
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"

    def password(self) -> str:
        """The password as the file has it now.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no text.
        """
        return self.password_file.read_text(encoding="utf-8").strip("\r\n") if self.password_file else ""


def settings_from_config(table: Mapping[str, Any]) -> RedisSettings:
    """The operator's table, which ``CONFIG_SCHEMA`` has already accepted.

    Raises:
        ConfigError: the URL is none of Redis, has a password in it, or a file cannot be read. No message
            quotes a value.
    """
    files: dict[str, Any] = {
        name: Path(table[name]).expanduser()
        for name in ("password_file", "ca_file", "cert_file", "key_file")
        if name in table
    }
    settings = RedisSettings(**_place(table["url"]), **files, prefix=table.get("prefix", "consolekit"))
    if settings.username and not settings.password_file:
        raise _wrong("password_file", "is missing: the url names a user")
    if not settings.tls and (names := sorted(files.keys() - {"password_file"})):
        raise _wrong(names[0], "is for TLS: write rediss:// in url")
    if settings.key_file and not settings.cert_file:
        raise _wrong("key_file", "is the key of cert_file, which is missing")
    _check_files(settings)
    return settings


def _place(url: str) -> dict[str, Any]:
    """The parts of the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("url", "is no URL: its host or port is malformed") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise _wrong("url", "must begin with redis://, rediss:// or unix://")
    if parts.password is not None:
        raise _wrong("url", "must hold no password: put it into a file, and name that as password_file")
    if parts.fragment or (parts.query and parts.scheme != "unix"):
        raise _wrong("url", "must end with the database's number: options have keys of their own")
    place: dict[str, Any] = {"username": unquote(parts.username or "")}
    if parts.scheme == "unix":
        return place | _unix(parts)
    if not parts.hostname:
        raise _wrong("url", "names no host")
    db = _number(parts.path.removeprefix("/"))
    return place | {
        "host": parts.hostname,
        "port": port or _PORT,
        "db": db,
        "tls": parts.scheme == "rediss",
    }


def _unix(parts: SplitResult) -> dict[str, Any]:
    options = parse_qs(parts.query, keep_blank_values=True)
    if not parts.path.startswith("/") or parts.hostname or options.keys() - {"db"}:
        raise _wrong("url", "must be unix:///PATH or unix:///PATH?db=DB")
    return {"path": unquote(parts.path), "db": _number(options.get("db", [""])[0])}


def _number(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise _wrong("url", "must end with the database's number, or with nothing")
    return int(text or "0")


def _check_files(settings: RedisSettings) -> None:
    """Read every file once: what is wrong with one is said at the start."""
    try:
        if settings.password_file and not settings.password():
            raise _wrong("password_file", f"{settings.password_file} is empty")
    except OSError as exc:
        raise _wrong("password_file", f"{settings.password_file}: {exc.strerror}") from None
    except ValueError:
        raise _wrong("password_file", f"{settings.password_file} is no UTF-8 text") from None
    if settings.ca_file:
        try:
            ssl.create_default_context(cafile=settings.ca_file)
        except OSError as exc:  # ssl.SSLError too
            raise _wrong("ca_file", f"{settings.ca_file}: {_reason(exc)}") from None
    if settings.cert_file:
        try:
            # never asks at the terminal for the pass phrase of a key
            ssl.create_default_context().load_cert_chain(settings.cert_file, settings.key_file, lambda: "")
        except (OSError, ValueError) as exc:
            raise _wrong("cert_file", f"{settings.cert_file}: {_reason(exc)}") from None


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError) or not isinstance(exc, OSError):
        return "no usable PEM file"
    return exc.strerror or type(exc).__name__


def _wrong(key: str, message: str) -> ConfigError:
    return ConfigError([Problem(key, message)])
