"""Config: what an operator decides, as frozen data. Knows no file, no environment, no plug-in.

Every field carries its documentation (metadata ``doc``); ``config show``, ``config init``, the flags' help
and the reference page are made from it. ``check`` in the metadata says what else must hold of a value.
"""
# ruff: noqa: RUF009 - option() is attrs.field with documentation, made once for the class as it should be

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import attrs

from consolekit.config.option import (
    base_url,
    base_urls,
    between,
    each,
    networks,
    one_of,
    option,
    patterns,
    sha256,
    word,
)
from consolekit.config.weburls import check_host, check_origin
from consolekit.core.address import Address
from consolekit.core.schema import MAX_TTL_SECONDS


@attrs.frozen(kw_only=True)
class ProxyConfig:
    """What browsers talk to: the viewer page and the websockets."""

    listen: Address = option(
        "Where browsers connect: `host:port`, `[IPv6]:port`, `:port`; port 0 lets the system choose.",
        Address("127.0.0.1", 6080),
    )
    base_url: str = option(
        "How browsers reach the proxy, with any path prefix: `https://consoles.example.org`. "
        "Links begin with it. Empty: made from `listen` and `cert`.",
        "",
        check=base_url,
    )
    base_urls: Mapping[str, str] = option(
        "The same for single console types, where they have a name of their own: "
        '`{ webmks = "https://mks.example.org" }`. Their path prefix is that of `base_url`.',
        MappingProxyType({}),
        check=base_urls,
    )
    cert: Path | None = option(
        "PEM file of the certificate with its chain. Empty: plain HTTP (behind a proxy that does TLS).", None
    )
    key: Path | None = option("PEM file of the certificate's private key. Empty: it is in `cert`.", None)
    allowed_origins: tuple[str, ...] = option(
        "Pages that may open consoles besides our own: `https://portal.example.org`.",
        (),
        check=each(check_origin),
    )
    allowed_hosts: tuple[str, ...] = option(
        "Names that requests may be addressed to besides those of `base_url` and `listen`: `host[:port]`.",
        (),
        check=each(check_host),
    )
    allow_no_origin: bool = option(
        "Whether clients that are no browsers (they send no Origin) may open consoles.", True
    )
    trusted_proxies: tuple[str, ...] = option(
        'Networks of the proxies in front: `["10.0.0.0/24"]`. Their `X-Forwarded-For` says who the viewer '
        "is, or the API's caller; from anybody else that header means nothing. Empty: nobody is trusted.",
        (),
        check=networks,
    )
    proxy_protocol: bool = option(
        "Whether connections to `listen` begin with the PROXY protocol (version 1 or 2), and who is none of "
        "`trusted_proxies` is turned away.",
        False,
    )
    workers: int = option(
        "Processes that serve, on the same addresses, with a parent that starts them anew where one ends, "
        "reloads on SIGHUP, and shows their figures as one. 0: one process without a parent, which cannot "
        'reload; so it is with the token store "memory" too, which no other process sees.',
        1,
        check=between(0, 64),
    )
    web_root: Path | None = option(
        "Directory of your own noVNC (with `core/rfb.js` in it), or of another viewer's pages such as "
        "spice-html5. Empty: the noVNC that came along.",
        None,
    )


@attrs.frozen(kw_only=True)
class ApiKey:
    """A key that may ask for consoles: `[api.keys.NAME]`. `consolekit key new NAME` makes one."""

    sha256: str = option(
        "SHA-256 of the key, in hex; the key itself is nowhere.", check=sha256, converter=str.lower
    )
    servers: tuple[str, ...] = option(
        "Shell patterns of the server ids it may ask for.", ("*",), check=patterns
    )
    subjects: tuple[str, ...] = option(
        "Shell patterns of the subjects it may ask for.", ("*",), check=patterns
    )
    modes: tuple[str, ...] = option(
        "What the viewers of its consoles may do: `interact`, `view` (look, and touch nothing).",
        ("interact", "view"),
        check=each(one_of("interact", "view")),
    )
    see_secrets: bool = option(
        "Whether it may see what opens something at a hypervisor itself (connection information). Whoever "
        "has that may do what the gateway's own account may do there.",
        False,
    )


@attrs.frozen(kw_only=True)
class ApiConfig:
    """What portals and scripts talk to: the REST API that makes links."""

    listen: Address = option("Where the API listens.", Address("127.0.0.1", 6081))
    cert: Path | None = option("PEM file of the certificate with its chain. Empty: plain HTTP.", None)
    key: Path | None = option("PEM file of the certificate's private key. Empty: it is in `cert`.", None)
    authentication: str = option(
        "`keys`: callers show a key of `[api.keys]`. `none`: everybody may ask; on loopback only.",
        "keys",
        check=one_of("keys", "none"),
    )
    keys: Mapping[str, ApiKey] = option("Who may ask, by name.", factory=dict)


@attrs.frozen(kw_only=True)
class AdminConfig:
    """What monitoring talks to: `/metrics`, `/healthz`, `/readyz`."""

    listen: Address | None = option(
        "Where metrics and probes are. Empty: no metrics (probes answer on the public listener too).",
        Address("127.0.0.1", 6082),
    )


@attrs.frozen(kw_only=True)
class TokensConfig:
    """The tokens in links. The store's own keys stand here too (`sqlite`: `path`; `sql`, `redis`: `url`)."""

    store: str = option(
        "Where tokens are kept: `sqlite` (a file; several processes of one machine), `sql` "
        "(PostgreSQL or MariaDB; several machines), `redis` (Redis or Valkey; several machines), `memory` "
        "(one process, forgotten with it), or a store of an installed package.",
        "sqlite",
        check=word,
    )
    seconds: int = option("How long a link may be opened.", 60, check=between(1, MAX_TTL_SECONDS))
    grace_seconds: float = option(
        "How long after a break the same browser may come back.", 30.0, check=between(0, 3600)
    )
    issuer: str = option(
        "Which of `[validators]` makes the tokens of links (`sealed` can). Empty: the store does.",
        "",
    )
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """How much one proxy process carries."""

    sessions: int = option("Live sessions in all.", 2000, check=between(1))
    per_server: int = option("Live sessions on one server.", 8, check=between(1))
    per_subject: int = option("Live sessions for one subject.", 32, check=between(1))
    per_address: int = option("Live sessions from one address.", 64, check=between(1))
    session_seconds: float = option(
        "How long a session may last, reconnects included.", 43200.0, check=between(1)
    )
    idle_seconds: float = option(
        "End a session whose viewer puts nothing in for so long: no key, pointer or clipboard; pictures and "
        "pings do not count. Who may only look is never idle. 0: never.",
        0.0,
        check=between(0),
    )
    pending: int = option(
        "Connections that have shown no token yet, in all. Before another is turned away, the one that has "
        "been idle longest is closed.",
        512,
        check=between(1),
    )
    pending_per_address: int = option("The same from one address.", 32, check=between(1))


@attrs.frozen(kw_only=True)
class TimeoutsConfig:
    """How long to wait for others, in seconds."""

    connect_seconds: float = option("To reach a console's server.", 5.0, check=between(0.1, 300))
    handshake_seconds: float = option("For the console's handshake.", 10.0, check=between(0.1, 300))
    ping_seconds: float = option("Between pings to a silent browser.", 15.0, check=between(1, 3600))
    pong_seconds: float = option("For a browser's answer to a ping.", 15.0, check=between(1, 3600))
    stall_seconds: float = option(
        "For a side that takes no more bytes to take some.", 60.0, check=between(1, 3600)
    )
    drain_seconds: float = option(
        "For live sessions to end by themselves when the process is stopped.", 30.0, check=between(0)
    )
    request_seconds: float = option(
        "For a TLS handshake, and for a request's headers and body.", 10.0, check=between(0.1, 300)
    )


@attrs.frozen(kw_only=True)
class LogConfig:
    """The log, on standard error. It never holds a token, a key or a password."""

    format: str = option("`text` for people, `json` for collectors.", "text", check=one_of("text", "json"))
    level: str = option(
        "The least that is logged: `debug`, `info`, `warning`, `error`.",
        "info",
        check=one_of("debug", "info", "warning", "error"),
    )


@attrs.frozen(kw_only=True)
class HooksConfig:
    """Plug-ins that are told what happens, and may refuse it."""

    enabled: tuple[str, ...] = option("Entry points of the group `consolekit.hooks`, in order.", ())


@attrs.frozen(kw_only=True)
class ProviderConfig:
    """A provider of consoles: `[providers.NAME]`. Its own keys stand here too; see its documentation."""

    use: str = option("Which installed provider: `consolekit providers list` shows them.", check=word)
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class ValidatorConfig:
    """Another issuer whose tokens open consoles here: `[validators.NAME]`. Its own keys stand here too."""

    use: str = option(
        "Which installed validator: `sealed`, `file`, `http`, `nova`, or one of an installed package.",
        check=word,
    )
    single_use: bool | None = option(
        "Whether each of its tokens opens one session only, noted in the token store. Empty: as the kind of "
        "token demands (`sealed`: yes; the others, whose issuers mean them to be used again: no).",
        None,
    )
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Config:
    """Everything that an operator decides."""

    proxy: ProxyConfig = option("What browsers talk to.", factory=ProxyConfig)
    api: ApiConfig = option("What portals and scripts talk to.", factory=ApiConfig)
    admin: AdminConfig = option("What monitoring talks to.", factory=AdminConfig)
    tokens: TokensConfig = option("The tokens in links.", factory=TokensConfig)
    limits: LimitsConfig = option("How much one proxy process carries.", factory=LimitsConfig)
    timeouts: TimeoutsConfig = option("How long to wait for others.", factory=TimeoutsConfig)
    log: LogConfig = option("The log.", factory=LogConfig)
    hooks: HooksConfig = option("Plug-ins that listen.", factory=HooksConfig)
    providers: Mapping[str, ProviderConfig] = option(
        "Where consoles come from, by name, in the order of asking.", factory=dict
    )
    validators: Mapping[str, ValidatorConfig] = option(
        "Whose tokens are good besides our own, by name, in the order of asking.", factory=dict
    )


@attrs.frozen(kw_only=True)
class Setting:
    """One documented key.

    Attributes:
        path: ``tokens.seconds``.
        doc: What it decides.
        default: Its default.
        env: The environment variable that sets it.
    """

    path: str
    doc: str
    default: Any
    env: str


ENV_PREFIX = "CONSOLEKIT_"


def settings() -> Iterator[Setting]:
    """Every key with a fixed name, in order; not those of providers and API keys."""
    for name, section in get_type_hints(Config).items():
        if not attrs.has(section):
            continue
        for field in attrs.fields(section):
            if "doc" in field.metadata and field.name != "keys":
                env = f"{ENV_PREFIX}{name}__{field.name}".upper()
                path = f"{name}.{field.name}"
                yield Setting(path=path, doc=field.metadata["doc"], default=field.default, env=env)
