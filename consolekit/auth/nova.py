"""Auth: tokens that Nova has issued, looked up in Nova. Knows Nova's API; knows no provider, no HTTP server.

``GET /os-console-auth-tokens/{token}`` (compute API reference, "Show Console Connection Information",
microversions 2.31 and 2.99; administrators only). The one door to keystoneauth1, whose blocking calls run
in a bounded pool. Nothing is kept but the service token, which is renewed once for all who wait for it.

Nova's tokens can be used until they expire; that is Nova's rule and stays so here. Nova's answer names no
console type: what ``internal_access_path`` looks like tells VMware's from the others.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.core.errors import ConfigError, Problem, StoreUnavailable, TokenRefused
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import Clock, ConsoleKey, ConsoleRequest, Grant, Secret, Target

if TYPE_CHECKING:  # an extra: imported where it is used
    from keystoneauth1.session import Session

_log = logging.getLogger(__name__)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MICROVERSIONS = ("2.99", "2.31")
_WORKERS = 8
_LONGEST_ANSWER = 64 * 1024

_ANSWER = validator_of(
    {
        "type": "object",
        "required": ["console"],
        "properties": {
            "console": {
                "type": "object",
                "required": ["instance_uuid", "host", "port"],
                "properties": {
                    "instance_uuid": {"type": "string", "minLength": 1, "maxLength": 64},
                    "host": {"type": "string", "minLength": 1, "maxLength": 255},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "tls_port": {"type": ["integer", "null"]},
                    "internal_access_path": {"type": ["string", "null"], "maxLength": 8192},
                },
            }
        },
    }
)


class NovaTokens(TokenValidator):
    """Redeems Nova's console tokens.

    Args:
        auth: What keystoneauth1's plug-in takes: ``auth_type`` (default ``password``), ``auth_url``,
            ``username``, ``password_file``, ``project_name`` and so on.
        vnc_provider: The configured provider that takes VNC consoles (``vnc/novnc``); empty for none.
        mks_provider: The configured provider that takes VMware's (``mks/webmks``); empty for none.
        ca_file: CAs of Keystone and Nova; default: the system's.
        interface: Which endpoint of the catalogue.
        region: Which region; empty where there is one.
        seconds: Deadline of a look-up.
        session_seconds: How long a session may last.
        clock: Where time comes from.
    """

    config_schema: Mapping[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["auth"],
        "properties": {
            "auth": {
                "type": "object",
                "required": ["auth_url"],
                "properties": {
                    "password": {"type": "string", "writeOnly": True},
                    "password_file": {"type": "string", "format": "path"},
                },
                "additionalProperties": {"type": "string"},
            },
            "vnc_provider": {"type": "string"},
            "mks_provider": {"type": "string"},
            "ca_file": {"type": "string", "format": "path"},
            "interface": {"enum": ["public", "internal", "admin"]},
            "region": {"type": "string"},
            "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
            "session_seconds": {"type": "number", "minimum": 1},
        },
    }

    def __init__(
        self,
        *,
        auth: Mapping[str, str],
        clock: Clock,
        vnc_provider: str = "",
        mks_provider: str = "",
        ca_file: str = "",
        interface: str = "internal",
        region: str = "",
        seconds: float = 5.0,
        session_seconds: float = 12 * 3600.0,
    ) -> None:
        self._providers = {"vnc/novnc": vnc_provider, "mks/webmks": mks_provider}
        self._clock, self._seconds, self._session_seconds = clock, seconds, session_seconds
        self._session = _session(dict(auth), ca_file, seconds)
        self._where = {"service_type": "compute", "interface": interface, "region_name": region or None}
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="consolekit-nova")
        self._renewal = threading.Lock()
        self._microversion = _MICROVERSIONS[0]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, clock: Clock) -> Self:
        """Build from the operator's table, which ``config_schema`` has already accepted.

        Raises:
            ConfigError: the extra is not installed, or the password file cannot be read.
        """
        return cls(**config, clock=clock)

    async def validate(self, token: Secret, context: AccessContext) -> Grant:
        """Look the token up.

        Raises:
            TokenRefused: it has not the shape of Nova's tokens, or Nova does not know it (any more).
            StoreUnavailable: Nova or Keystone did not answer properly in time.
        """
        if not _UUID.fullmatch(token.reveal()):
            raise TokenRefused("not the shape of a Nova token")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                console = await loop.run_in_executor(self._pool, self._look_up, token)
        except TimeoutError as exc:
            raise StoreUnavailable(f"Nova gave no answer within {self._seconds:g} s") from exc
        return self._grant(console)

    async def aclose(self) -> None:
        """Give back the threads; look-ups that hang end by their own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _grant(self, console: Mapping[str, Any]) -> Grant:
        access = console.get("internal_access_path") or ""
        vmware = access.startswith(("{", "/ticket/"))
        key = ConsoleKey("mks", "webmks") if vmware else ConsoleKey("vnc", "novnc")
        provider = self._providers[str(key)]
        if not provider:
            raise TokenRefused(f"no provider is configured for Nova's {key} consoles")
        now = self._clock.now()
        return Grant(
            id=f"nova-{secrets.token_hex(8)}",
            request=ConsoleRequest(key=key, server_id=console["instance_uuid"], subject="nova"),
            provider=provider,
            issued_at=now,
            expires_at=now + self._session_seconds,
            session_seconds=self._session_seconds,
            target=Target(
                host=console["host"], port=console["port"], access=Secret(access) if access else None
            ),
        )

    # ---- in the pool's threads

    def _look_up(self, token: Secret) -> Mapping[str, Any]:
        status, body = self._get(token)
        if status == 406 and self._microversion != _MICROVERSIONS[-1]:
            self._microversion = _MICROVERSIONS[-1]  # an older Nova, until the process ends
            status, body = self._get(token)
        if status in (400, 404):
            raise TokenRefused(f"Nova does not know it: HTTP {status}")
        if status != 200:
            raise StoreUnavailable(f"Nova answered HTTP {status} to the look-up of a token")
        if problems := problems_of(_ANSWER, body):
            raise StoreUnavailable(f"Nova's answer is not as its API reference says: {problems[0]}")
        console: Mapping[str, Any] = body["console"]
        return console

    def _get(self, token: Secret) -> tuple[int, Any]:
        """One look-up, with one renewal of the service token where it is refused."""
        used = self._service_token()
        status, body = self._request(token)
        if status == 401:
            self._renew(used)
            status, body = self._request(token)
        return status, body

    def _request(self, token: Secret) -> tuple[int, Any]:
        from keystoneauth1.exceptions import ClientException

        try:
            response = self._session.request(
                f"/os-console-auth-tokens/{token.reveal()}",
                "GET",
                endpoint_filter=self._where,
                microversion=self._microversion,
                raise_exc=False,
                allow_reauth=False,  # ours renews once for all waiters
                redirect=False,
                log=False,  # its debug log holds the URL, and so the token
            )
            body = response.json() if len(response.content) <= _LONGEST_ANSWER else None
        except ClientException as exc:
            raise StoreUnavailable(f"Nova cannot be asked: {type(exc).__name__}") from None
        except ValueError:
            body = None
        return response.status_code, body

    def _service_token(self) -> str | None:
        from keystoneauth1.exceptions import ClientException

        with self._renewal:
            try:
                return str(self._session.get_token())
            except ClientException as exc:
                raise StoreUnavailable(f"Keystone gave no token: {type(exc).__name__}") from None

    def _renew(self, refused: str | None) -> None:
        """Drop the refused service token, unless somebody has done so since."""
        with self._renewal:
            if self._session.get_token() == refused:
                self._session.invalidate()
        self._service_token()


def _session(auth: dict[str, str], ca_file: str, seconds: float) -> Session:
    try:
        from keystoneauth1 import loading, session
        from keystoneauth1.exceptions import ClientException
    except ModuleNotFoundError as exc:
        cure = "pip install 'consolekit[openstack]'"
        raise ConfigError([Problem("", f"keystoneauth1 is not installed: {cure}")]) from exc
    if file := auth.pop("password_file", ""):
        try:
            auth["password"] = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as exc:
            raise ConfigError([Problem("auth.password_file", f"{file}: {exc.strerror}")]) from exc
    try:
        loader: Any = loading.get_plugin_loader(auth.pop("auth_type", "password"))
        plugin = loader.load_from_options(**auth)
    except (ClientException, TypeError) as exc:
        raise ConfigError([Problem("auth", f"keystoneauth1 refuses it: {type(exc).__name__}")]) from exc
    return session.Session(auth=plugin, verify=ca_file or True, timeout=seconds)
