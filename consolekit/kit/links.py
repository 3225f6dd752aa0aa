"""Kit: links and what an operator decides about them, as data. Knows no provider, no token store, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlencode

import attrs

from consolekit.core.schema import MAX_TTL_SECONDS
from consolekit.core.types import ConsoleKey, Grant, Mode, Secret

SERIAL, SPICE = ConsoleKey("serial", "serial"), ConsoleKey("spice", "spice-html5")


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _without_slashes(urls: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name: _without_slash(url) for name, url in urls.items()})


def _check_ttl(_: object, __: attrs.Attribute[int], value: int) -> None:
    if not 1 <= value <= MAX_TTL_SECONDS:
        raise ValueError(f"token_seconds must be from 1 to {MAX_TTL_SECONDS}")


@attrs.frozen(kw_only=True)
class KitSettings:
    """What an operator decides about links.

    Attributes:
        base_url: Where browsers reach the proxy: ``https://consoles.example.org`` with any path prefix.
        base_urls: The same for single console types (``webmks``), where they have one of their own.
        token_seconds: How long a link may be opened, 1 to 600.
        session_seconds: How long a session may last, reconnects included.
        check_seconds: How long a provider may take to say whether a console can be had.
    """

    base_url: str = attrs.field(default="http://127.0.0.1:6080", converter=_without_slash)
    base_urls: Mapping[str, str] = attrs.field(factory=dict, converter=_without_slashes, hash=False)
    token_seconds: int = attrs.field(default=60, validator=_check_ttl)
    session_seconds: float = 12 * 3600.0
    check_seconds: float = 10.0

    def base_url_of(self, key: ConsoleKey) -> str:
        """Where browsers reach the proxy for this pair."""
        return self.base_urls.get(key.type, self.base_url)


@attrs.frozen(kw_only=True)
class ConsoleLink:
    """A console that a browser may open now.

    Attributes:
        key: The pair.
        server_id: The server.
        mode: What the viewer may do.
        url: The page's URL with its token in the fragment; whoever has it opens the console, once. Of
            ``serial/serial`` the websocket's, of ``spice/spice-html5`` that of the operator's own page, both
            with the token in the query.
        token: The token alone, for viewers that are not our page.
        grant_id: Public name of the grant, to revoke it by.
        expires_at: Epoch seconds; the link opens nothing from this instant on.
    """

    key: ConsoleKey
    server_id: str
    mode: Mode
    url: Secret
    token: Secret
    grant_id: str
    expires_at: float


@attrs.frozen(kw_only=True)
class Offer:
    """One pair that a server offers, or would offer but for ``reason``.

    Attributes:
        key: The pair.
        provider: The configured provider that knows the server.
        available: False when the provider knows the server and cannot show it now.
        code: The error's code when it is not available.
    """

    key: ConsoleKey
    provider: str
    available: bool = True
    code: str = ""


def make_link(grant: Grant, token: Secret, settings: KitSettings) -> ConsoleLink:
    """The link of a grant."""
    return ConsoleLink(
        key=grant.request.key,
        server_id=grant.request.server_id,
        mode=grant.request.mode,
        url=Secret(_url(grant, token, settings.base_url_of(grant.request.key))),
        token=token,
        grant_id=grant.id,
        expires_at=grant.expires_at,
    )


def _url(grant: Grant, token: Secret, base_url: str) -> str:
    """Our page with the token in the fragment, which no server gets to see.

    It shows neither serial lines nor SPICE. Their links are as Nova's, for the viewers that know those: the
    websocket itself, and the page of the operator's spice-html5.
    """
    key, query = grant.request.key, urlencode({"token": token.reveal()})
    if key == SERIAL:
        return f"ws{base_url.removeprefix('http')}/?{query}"
    if key == SPICE:
        return f"{base_url}/spice_auto.html?{query}"
    fields = {
        "token": token.reveal(),
        "server": grant.request.server_id,
        "protocol": key.protocol,
        "type": key.type,
    }
    if grant.request.mode is not Mode.INTERACT:  # only tells: the gateway goes by the grant
        fields["mode"] = grant.request.mode.value
    return f"{base_url}/console/#{urlencode(fields)}"
