"""Auth: tokens that Nova has issued, looked up in Nova. Knows Nova's API; knows no provider, no HTTP server.

``GET /os-console-auth-tokens/{token}`` (compute API reference, "Show Console Connection Information",
microversions 2.31 and 2.99; administrators only). The one door to keystoneauth1, whose blocking calls run
in a bounded pool. Nothing is kept but the service token, which is renewed once for all who wait for it.

Nova's tokens can be used until they expire; that is Nova's rule and stays so here. Nova's answer names no
console type: what ``internal_access_path`` looks like tells VMware's from the others, ``tls_port`` tells
native SPICE. VNC, SPICE and serial look the same in it, so a validator takes one of the three, as each of
Nova's own proxies does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from consolekit.auth.base import AccessContext
from consolekit.auth.lasting import LastingTokens
from consolekit.auth.life import GrantLife
from consolekit.auth.novaschema import ANSWER, CONFIG_SCHEMA
from consolekit.core.errors import ConfigError, Problem, StoreUnavailable, TokenRefused
from consolekit.core.schema import problems_of
from consolekit.core.types import Clock, ConsoleKey, ConsoleRequest, Grant, Secret, Target

if TYPE_CHECKING:  # an extra: imported where it is used
    from keystoneauth1.plugin import BaseAuthPlugin
    from keystoneauth1.session import Session

_VNC, _MKS = ConsoleKey("vnc", "novnc"), ConsoleKey("mks", "webmks")
_SPICE, _SERIAL = ConsoleKey("spice", "spice-html5"), ConsoleKey("serial", "serial")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MICROVERSIONS = ("2.99", "2.31")
_WORKERS = 8
_LONGEST_ANSWER = 64 * 1024


class _Masked(logging.Filter):
    """Takes tokens out of what urllib3 logs of a request: it logs every path, at the level DEBUG."""

    _PATH = re.compile(r"(/os-console-auth-tokens/)[^\s/?]+")

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask, and let pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._PATH.sub(r"\1***", arg) if isinstance(arg, str) else arg for arg in record.args
            )
        return True


_MASKED = _Masked()


@attrs.frozen
class _Asked:
    """What was true when a look-up was asked for: what others have learnt since need not be tried again.

    Attributes:
        renewals: How often the service token had been renewed.
        failures: How often Keystone had failed to give one.
    """

    renewals: int
    failures: int


class NovaTokens(LastingTokens):
    """Redeems Nova's console tokens.

    Args:
        auth: What keystoneauth1's plug-in takes: ``auth_type`` (default ``password``), ``auth_url``,
            ``username``, ``password_file``, ``project_name`` and so on.
        vnc_provider: The configured provider that takes VNC consoles (``vnc/novnc``); empty for none.
        spice_provider: The one that takes SPICE consoles (``spice/spice-html5``), in VNC's stead.
        serial_provider: The one that takes serial consoles (``serial/serial``), in VNC's stead.
        mks_provider: The configured provider that takes VMware's (``mks/webmks``); empty for none.
        ca_file: CAs of Keystone and Nova; default: the system's.
        interface: Which endpoint of the catalogue.
        region: Which region; empty where there is one.
        seconds: Deadline of a look-up.
        session_seconds: How long a session may last.
        clock: Where time comes from.

    Raises:
        ConfigError: the extra is not installed, the password file cannot be read, or more than one of
            ``vnc_provider``, ``spice_provider`` and ``serial_provider`` is given.
    """

    kind: ClassVar[str] = "nova"
    config_schema: ClassVar[Mapping[str, Any]] = CONFIG_SCHEMA

    def __init__(
        self,
        *,
        auth: Mapping[str, str],
        clock: Clock,
        vnc_provider: str = "",
        spice_provider: str = "",
        serial_provider: str = "",
        mks_provider: str = "",
        ca_file: str = "",
        interface: str = "internal",
        region: str = "",
        seconds: float = 5.0,
        session_seconds: float = 12 * 3600.0,
    ) -> None:
        super().__init__()
        self._plain = _only({_VNC: vnc_provider, _SPICE: spice_provider, _SERIAL: serial_provider})
        self._providers = {**self._plain, _MKS: mks_provider}
        self._clock, self._session_seconds = clock, session_seconds
        self.seconds: float = seconds
        self._session, self._log_in = _session(dict(auth), ca_file, seconds)
        self._auth = self._log_in()
        self._where = {"service_type": "compute", "interface": interface, "region_name": region or None}
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="consolekit-nova")
        self._renewal = threading.Lock()
        self._renewals = self._failures = 0
        self._microversion = _MICROVERSIONS[0]
        logging.getLogger("urllib3.connectionpool").addFilter(_MASKED)

    def recognises(self, token: Secret) -> bool:
        """Whether it has the form of Nova's tokens: a UUID."""
        return _UUID.fullmatch(token.reveal()) is not None

    async def inspect(self, token: Secret, context: AccessContext) -> GrantLife:
        """Look the token up; Nova does not note who does.

        Raises:
            TokenRefused: it has not the form of Nova's tokens, or Nova does not know it (any more).
            StoreUnavailable: Nova or Keystone did not answer properly in time.
        """
        return GrantLife(grant=self._grant(await self._ask(token), self.name_of(token, context)))

    def provider_names(self) -> Sequence[str]:
        """The configured providers that its grants name."""
        return [name for name in self._providers.values() if name]

    async def _ask(self, token: Secret) -> Mapping[str, Any]:
        if not self.recognises(token):
            raise TokenRefused("not the shape of a Nova token")
        asked = _Asked(self._renewals, self._failures)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.seconds):
                return await loop.run_in_executor(self._pool, self._look_up, token, asked)
        except (TokenRefused, StoreUnavailable):
            raise
        except TimeoutError as exc:
            raise StoreUnavailable(f"Nova gave no answer within {self.seconds:g} s") from exc
        except Exception as exc:  # whatever a plug-in of keystoneauth1 raises; its text could hold the URL
            raise StoreUnavailable(f"Nova cannot be asked: {type(exc).__name__}") from None

    async def aclose(self) -> None:
        """Give back the threads; look-ups that hang end by their own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _grant(self, console: Mapping[str, Any], grant_id: str) -> Grant:
        access = console.get("internal_access_path") or ""
        if console.get("tls_port"):
            raise TokenRefused("it is of a native SPICE console, which no browser shows")
        keys = (_MKS,) if access.startswith(("{", "/ticket/")) else tuple(self._plain)
        key = next((key for key in keys if self._providers[key]), None)
        if key is None:
            raise TokenRefused("no provider is configured for consoles of its kind")
        now, server_id = self._clock.now(), console["instance_uuid"]
        return Grant(
            id=grant_id,
            # Nova does not say for whom; one subject for all would share one limit
            request=ConsoleRequest(key=key, server_id=server_id, subject=f"nova:{server_id}"),
            provider=self._providers[key],
            issued_at=now,
            expires_at=now + self._session_seconds,
            session_seconds=self._session_seconds,
            target=Target(
                host=console["host"], port=console["port"], access=Secret(access) if access else None
            ),
        )

    # ---- in the pool's threads

    def _look_up(self, token: Secret, asked: _Asked) -> Mapping[str, Any]:
        status, body = self._get(token, asked)
        if status == 406 and self._microversion != _MICROVERSIONS[-1]:
            self._microversion = _MICROVERSIONS[-1]  # an older Nova, until the process ends
            status, body = self._get(token, asked)
        if status in (400, 404):
            raise TokenRefused(f"Nova does not know it: HTTP {status}")
        if status != 200:
            raise StoreUnavailable(f"Nova answered HTTP {status} to the look-up of a token")
        if problems := problems_of(ANSWER, body):
            raise StoreUnavailable(f"Nova's answer is not as its API reference says: {problems[0]}")
        console: Mapping[str, Any] = body["console"]
        return console

    def _get(self, token: Secret, asked: _Asked) -> tuple[int, Any]:
        """One look-up, with one renewal of the service token where Nova refuses it."""
        self._service_token(asked)
        status, body = self._request(token)
        if status == 401 and self._renewed(asked):
            status, body = self._request(token)
        return status, body

    def _request(self, token: Secret) -> tuple[int, Any]:
        from keystoneauth1.exceptions import ClientException
        from requests.exceptions import RequestException

        try:
            response = self._session.request(
                f"/os-console-auth-tokens/{token.reveal()}",
                "GET",
                auth=self._auth,
                endpoint_filter=self._where,
                microversion=self._microversion,
                raise_exc=False,
                allow_reauth=False,  # ours renews once for all waiters
                redirect=False,
                log=False,  # its debug log holds the URL, and so the token
                stream=True,
            )
            with response:
                return response.status_code, _read(response)
        except (ClientException, RequestException) as exc:  # their texts hold the URL
            raise StoreUnavailable(f"Nova cannot be asked: {type(exc).__name__}") from None

    def _service_token(self, asked: _Asked) -> None:
        """See that there is one; a failure is the answer to all who were waiting for it."""
        with self._renewal:
            if self._failures != asked.failures:
                raise StoreUnavailable("Keystone gave no token a moment ago")
            self._fetch(self._auth)

    def _renewed(self, asked: _Asked) -> bool:
        """Drop the refused service token and get another, unless somebody has done so since.

        True if it is worth to ask Nova again. A fresh token that is refused too is not: Nova trusts none.
        """
        with self._renewal:
            if self._failures != asked.failures:
                raise StoreUnavailable("Keystone gave no token a moment ago")
            if self._renewals == asked.renewals:
                # another login, not the old one invalidated: others' requests may be using that just now
                fresh = self._log_in()
                self._fetch(fresh)
                self._auth = fresh
                self._renewals += 1
            return True

    def _fetch(self, auth: BaseAuthPlugin) -> None:
        from keystoneauth1.exceptions import ClientException

        try:
            self._session.get_token(auth)
        except ClientException as exc:
            self._failures += 1
            raise StoreUnavailable(f"Keystone gave no token: {type(exc).__name__}") from None


def _only(providers: Mapping[ConsoleKey, str]) -> Mapping[ConsoleKey, str]:
    """The one of these that is configured, if any is.

    Raises:
        ConfigError: there are several.
    """
    given = {key: name for key, name in providers.items() if name}
    if len(given) > 1:
        settings = [f"{key.protocol}_provider" for key in given]
        message = (
            f"stands beside {' and '.join(settings[:-1])}; Nova's answer does not tell these types apart, "
            "and a console would be shown by the wrong viewer: run one proxy for each, as Nova does"
        )
        raise ConfigError([Problem(settings[-1], message)])
    return given


def _read(response: Any) -> Any:
    """The JSON of a bounded body; None where it is none."""
    data = b""
    for chunk in response.iter_content(8192):
        data += chunk
        if len(data) > _LONGEST_ANSWER:
            return None
    try:
        return json.loads(data)
    except ValueError:  # UnicodeDecodeError too
        return None


def _session(
    auth: dict[str, str], ca_file: str, seconds: float
) -> tuple[Session, Callable[[], BaseAuthPlugin]]:
    """A session without a login, and what makes logins."""
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
        loader.load_from_options(**auth)
    except (ClientException, TypeError) as exc:
        raise ConfigError([Problem("auth", f"keystoneauth1 refuses it: {type(exc).__name__}")]) from exc
    return session.Session(verify=ca_file or True, timeout=seconds), lambda: loader.load_from_options(**auth)
