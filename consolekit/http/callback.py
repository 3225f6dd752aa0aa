"""HTTP: tokens that a service of the site's own knows, asked over HTTP. Knows no provider and no store.

``GET {url}/{token}``: one request for a look-up, no second one whatever happens, within two seconds. The
host is the configured one alone: no redirect is followed, and no text of a token can be more than one segment
of the path. What the service may answer is in ``http.callbackreply``.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from consolekit.auth.base import STORE_SECONDS, AccessContext
from consolekit.auth.lasting import LastingTokens, is_sendable, sendable
from consolekit.auth.life import GrantLife
from consolekit.core.address import Address, is_host
from consolekit.core.errors import ConfigError, Problem, StoreUnavailable, TokenRefused
from consolekit.core.schema import SUBJECT
from consolekit.core.types import Clock, ConsoleKey, Secret
from consolekit.http.callbackreply import LONGEST_REPLY, Defaults, grant_of

_AT_ONCE: Final = 64
_SECONDS: Final = 0.9 * STORE_SECONDS  # before whoever waits for us loses patience
_HEADERS: Final = 16 * 1024
_VISIBLE: Final = re.compile(r"[!-~]{1,4096}")  # RFC 9110, 5.5, without blanks
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")  # RFC 3986, 3.3

CONFIG_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2048,
            "description": "The service, `https://HOST[:PORT][/PATH]`; the token is put behind it as one "
            "more segment of the path. `http://` on loopback only.",
        },
        "secret_file": {
            "type": "string",
            "format": "path",
            "description": "A file with what the service wants to see: `Authorization: Bearer SECRET`. Read "
            "at start.",
        },
        "ca_file": {
            "type": "string",
            "format": "path",
            "description": "PEM file of the CAs that may have signed the service's certificate. Default: the "
            "system's.",
        },
        "pattern": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "A regular expression that every token of the service matches as a whole, and no "
            "other issuer's: then such tokens are this validator's alone, and no others are sent there.",
        },
        "provider": {
            "type": "string",
            "minLength": 1,
            "description": "The `[providers.NAME]` of the consoles, where the service names none.",
        },
        "console": {
            "type": "string",
            "pattern": "^[a-z0-9-]+/[a-z0-9-]+$",
            "default": "vnc/novnc",
            "description": "What a console is of which the service names the place only, as websockify's "
            "`JSONTokenApi` has it.",
        },
        "subject": {
            **SUBJECT,
            "description": "For whom the consoles are, where the service does not say. Default: `http:` and "
            "the server, so that each has limits of its own.",
        },
        "session_seconds": {
            "type": "number",
            "minimum": 1,
            "default": 43200.0,
            "description": "How long a session may last, where the service does not say.",
        },
    },
}
"""JSON Schema (2020-12) of a ``[validators.NAME]`` table with ``use = "http"``."""


class HttpTokens(LastingTokens):
    """Redeems tokens by asking their issuer.

    Args:
        url: The service.
        clock: Where time comes from.
        secret_file: What it wants to see; empty for nothing.
        ca_file: CAs of its certificate; default: the system's.
        pattern: What its tokens look like; empty if they have no form of their own.
        provider: The configured provider, where the service names none.
        console: What a console is of which the service names the place only.
        subject: For whom, where the service does not say; empty: each server for itself.
        session_seconds: How long a session may last, where the service does not say.

    Raises:
        ConfigError: a value cannot be meant, or a file cannot be read.
    """

    kind: ClassVar[str] = "http"
    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(
        self,
        *,
        url: str,
        clock: Clock,
        secret_file: str = "",
        ca_file: str = "",
        pattern: str = "",
        provider: str = "",
        console: str = "vnc/novnc",
        subject: str = "",
        session_seconds: float = 12 * 3600.0,
    ) -> None:
        super().__init__()
        self._url, self._clock = _url(url), clock
        self._secret = _secret(secret_file) if secret_file else None
        self._tls = _tls(ca_file)
        self._pattern = _pattern(pattern) if pattern else None
        self._defaults = Defaults(
            provider=provider, key=_key(console), subject=subject, session_seconds=session_seconds
        )
        self._client: SimpleAsyncHTTPClient | None = None

    def recognises(self, token: Secret) -> bool:
        """Whether it matches the configured pattern; False where there is none."""
        return self._pattern is not None and _matches(self._pattern, token.reveal())

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """Ask the service what the token stands for.

        Raises:
            TokenRefused: it cannot be one of its tokens, or the service says so.
            StoreUnavailable: no proper answer in time.
        """
        text = sendable(token)
        if self._pattern is not None and not self.recognises(token):
            raise TokenRefused("it does not match the pattern of the token service")
        response = await self._ask(text)
        grant = grant_of(
            response.code,
            ", ".join(response.headers.get_list("Content-Type")),
            response.body or b"",
            name=self.name_of(token, context),
            now=self._clock.now(),
            defaults=self._defaults,
        )
        return GrantLife(grant=grant)

    def provider_names(self) -> Sequence[str]:
        """The provider where the service names none; what it names is looked at when it does."""
        return [self._defaults.provider] if self._defaults.provider else []

    async def aclose(self) -> None:
        """End the client; a request that runs ends by its own deadline."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _ask(self, text: str) -> HTTPResponse:
        """One request; its errors' texts and chains are not kept, for they may hold the URL.

        Raises:
            StoreUnavailable: no answer.
        """
        if self._client is None:  # made here, for it belongs to the running loop
            self._client = SimpleAsyncHTTPClient(
                force_instance=True,
                max_clients=_AT_ONCE,
                max_body_size=LONGEST_REPLY,
                max_buffer_size=LONGEST_REPLY + _HEADERS,
                max_header_size=_HEADERS,
            )
        try:
            async with asyncio.timeout(self.seconds):
                # shielded: a request that nobody waits for any more ends by itself, and tells nobody
                return await asyncio.shield(self._client.fetch(self._request(text), raise_error=False))
        except TimeoutError:
            raise StoreUnavailable(f"the token service gave no answer within {self.seconds:g} s") from None
        except Exception as exc:
            raise StoreUnavailable(f"the token service cannot be asked: {type(exc).__name__}") from None

    def _request(self, text: str) -> HTTPRequest:
        headers = {"Accept": "application/json"}
        if self._secret is not None:
            headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        return HTTPRequest(
            f"{self._url}/{quote(text, safe='')}",
            headers=headers,
            connect_timeout=_SECONDS,
            request_timeout=_SECONDS,  # from the same instant: connecting is a part of it
            follow_redirects=False,
            decompress_response=False,
            user_agent="consolekit",
            ssl_options=self._tls,
        )


def _url(text: str) -> str:
    """The URL without a last slash.

    Raises:
        ConfigError: it cannot be meant, or would send tokens in clear over a network.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("url", "is written https://HOST[:PORT][/PATH]") from None
    plain = f"{parts.scheme}://{parts.netloc}{parts.path}" == text and "@" not in parts.netloc
    path = parts.path.rstrip("/")
    if parts.scheme not in ("http", "https") or not plain or not is_host(host) or port == 0:
        raise _refused("url", "is written https://HOST[:PORT][/PATH], without user, query and fragment")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise _refused("url", "has a path with characters that none has, or with '.' or '..'")
    if parts.scheme == "http" and not Address(host, 80).is_loopback:
        raise _refused("url", "must be https://: over a network, tokens do not travel in clear")
    return text.rstrip("/")


def _secret(file: str) -> Secret:
    try:
        text = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as exc:
        raise _refused("secret_file", f"{file}: {exc.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not _VISIBLE.fullmatch(text):
        raise _refused("secret_file", f"{file}: holds no single word of visible ASCII characters")
    return Secret(text)


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise _refused("ca_file", f"{ca_file}: holds no certificate in PEM") from None
    except OSError as exc:
        raise _refused("ca_file", f"{ca_file}: {exc.strerror}") from None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError):
        raise _refused("pattern", "is no regular expression of Python's") from None


def _key(text: str) -> ConsoleKey:
    try:
        return ConsoleKey.parse(text)
    except ValueError as exc:
        raise _refused("console", str(exc)) from None


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return is_sendable(text) and pattern.fullmatch(text) is not None


def _refused(path: str, why: str) -> ConfigError:
    return ConfigError([Problem(path, why)])
