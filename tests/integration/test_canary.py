"""No secret is in what is kept or said: every store and validator, the whole way of a console.

Tokens, resume keys, passwords and keys are looked for in the bytes of each store, in every record of every
logger at every level, in every answer with its headers, in metrics and probes, in what the command line
prints, and in what the browser is sent. That the search finds what is there is tested beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest
import websockets.exceptions
from canary import Hunt, every_logger, forms, inside
from canarysite import KINDS, Site, site
from canarystores import STORES
from hostile import PATIENCE
from websockets.asyncio.client import ClientConnection

from consolekit.auth import stored
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import new_token
from consolekit.core.types import Grant, Secret, SystemClock
from consolekit.http.handler import Handler
from consolekit.providers.vnc.provider import VncProvider


async def use(here: Site) -> str:
    """The whole way of a console, with a token of each kind, and every way that it ends; a known token."""
    tokens = {kind: await here.token(kind) for kind in KINDS}
    keys = {kind: here.new_resume_key() for kind in KINDS}
    for kind, token in tokens.items():  # redeemed, broken off, resumed, shown by somebody else
        (await here.open(token, keys[kind])).transport.abort()
    await here.gateway.until_no_sessions()
    live = {kind: await here.open(token, keys[kind]) for kind, token in tokens.items()}
    for kind, token in tokens.items():
        await here.raw("another browser", here.gateway.handshake(token, Sec_WebSocket_Version="7"))
        if kind in ("own", "sealed"):
            await here.raw("a used token", here.gateway.handshake(token))
    await look_around(here)
    here.dump("while consoles are open")
    for at, session in enumerate(await sessions(here, len(live))):
        what = "grants" if at % 2 else "sessions"
        await here.api("DELETE", f"/{what}/{session['grant_id' if at % 2 else 'session_id']}")
    for browser in live.values():
        here.hunt.hear("why a console was closed", await closed(browser))
    for token in tokens.values():
        await here.raw("a token that was taken back", here.gateway.handshake(token))
    return tokens["own"]


async def sessions(here: Site, count: int) -> list[dict[str, str]]:
    """The API's list, as soon as it has so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await here.api("GET", "/sessions")
            found: list[dict[str, str]] = json.loads(answer.partition(b"\r\n\r\n")[2])["sessions"]
            if len(found) == count:
                return found
            await asyncio.sleep(0.1)


async def closed(browser: ClientConnection) -> str:
    """How a console was closed."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                await browser.recv()
    except websockets.exceptions.ConnectionClosed as how:
        return str(how)


async def look_around(here: Site) -> None:
    """What an operator and monitoring look at."""
    for path in ("/metrics", "/readyz", "/healthz"):
        await here.admin(path)
    if here.kept.others:
        words = [("token", "list"), ("sessions", "list", "--json")]
        await asyncio.gather(*(here.command(*each) for each in words))


async def misuse(here: Site) -> None:
    """Every way to be refused."""
    gateway = here.gateway
    for kind in KINDS:
        await here.raw("an unknown token", gateway.handshake(here.unknown(kind)))
    token = await here.token("own")
    host = f"Host: 127.0.0.1:{gateway.port}"
    for what, data in {
        "a wrong origin": gateway.handshake(token, Origin="http://evil.test"),
        "a wrong host": gateway.handshake(token, Host="evil.test"),
        "no websocket": gateway.handshake(token, Upgrade=""),
        "no key": gateway.handshake(token, Sec_WebSocket_Key=""),
        "a token twice": gateway.handshake(token).replace(b"GET /ws", f"GET /ws?token={token}".encode()),
        "a token with more": gateway.handshake(f"{token}x"),
        "a header that is none": gateway.handshake(token, Cookie=f"token={token}\0"),
        "too long a header": gateway.handshake(token * 500),
        "a page with a token": f"GET /console/?token={token} HTTP/1.1\r\n{host}\r\n\r\n".encode(),
        "no page": f"GET /{token}/{token}?{token} HTTP/1.1\r\n{host}\r\n\r\n".encode(),
        "a method": f"POST /ws?token={token} HTTP/1.1\r\n{host}\r\nContent-Length: 0\r\n\r\n".encode(),
        "a word that is no method": f"{token} /ws HTTP/1.1\r\n{host}\r\n\r\n".encode(),
        "why it ended": f"GET /console/outcome HTTP/1.1\r\n{host}\r\n"
        f"Consolekit-Token: {token}\r\nAuthorization: Bearer {token}\r\n\r\n".encode(),
    }.items():
        await here.raw(what, data)
    await novas_page(here, token, host)
    locked = await here.api("POST", "/servers/locked/console", here.wish(), hear=False)
    shown = json.loads(locked.partition(b"\r\n\r\n")[2])["url"].partition("token=")[2].partition("&")[0]
    here.hunt.secret("a token of a server with another password", shown)
    assert b" 502 " in await here.raw("a wrong password", gateway.handshake(shown))
    await misuse_of_the_api(here, token)
    await faults(here)


async def novas_page(here: Site, token: str, host: str) -> None:
    """The one answer that has a token: it leads whoever has shown it on, in the fragment."""
    page = f"GET /vnc_auto.html?path=%3Ftoken%3D{token} HTTP/1.1\r\n{host}\r\n\r\n".encode()
    answer = await here.raw("Nova's page", page, hear=False)
    assert answer.count(token.encode()) == 1
    assert f"Location: console/#token={token}\r\n".encode() in answer
    assert b"Referrer-Policy: no-referrer" in answer
    assert b"Cache-Control: no-store" in answer


async def misuse_of_the_api(here: Site, token: str) -> None:
    key = here.hunt.secret("a key of nobody", "cka_" + new_token().reveal()[4:])
    await here.api("GET", "/sessions", key=key)
    await here.api("GET", "/sessions", key=f"{here.api_key.reveal()}x")
    await here.api("POST", "/servers/nobody/console", here.wish())
    await here.api("POST", "/servers/demo/console", {**here.wish(), "type": token, token: token})
    await here.api("POST", f"/servers/demo/console?token={token}", {**here.wish(), "password": token})
    for path in ("/grants", "/sessions", "/servers", "/v2.1/os-console-auth-tokens"):
        await here.api("GET", f"{path}/{token}")
        await here.api("DELETE", f"{path}/{token}")


async def faults(here: Site) -> None:
    """What others answer when they are broken, and the store when it is away."""
    here.service.fault = lambda handler: handler.wfile.write(b"no HTTP")
    await here.raw("a token service that is broken", here.gateway.handshake(here.unknown("http")))
    here.nova.trusts = False
    await here.raw("a Nova that trusts nobody", here.gateway.handshake(here.unknown("nova")))
    here.nova.auth_fault = 500
    await here.raw("a Keystone that is broken", here.gateway.handshake(here.unknown("nova")))
    token = await here.token("own")
    with here.kept.away():
        await here.raw("a token while the store is away", here.gateway.handshake(token))
        await here.api("POST", "/servers/demo/console", here.wish(), hear=False)


async def whole_run(store: str, folder: Path, hunt: Hunt) -> str:
    """All of it over this store; a token whose hash the first dump has."""
    with every_logger(hunt):
        async with site(store, folder, hunt) as here:
            token = await use(here)
            await misuse(here)
            if store != "redis":  # it was killed, and is empty
                here.dump("at the end")
    return token


@pytest.mark.parametrize("store", STORES)
async def test_no_secret_is_kept_or_said(store: str, tmp_path: Path) -> None:
    hunt = Hunt()
    token = await whole_run(store, tmp_path, hunt)
    assert not (found := hunt.found()), "\n".join(found)
    # what was searched is what was meant
    assert len(hunt.secrets) > 25
    kept = hunt.places_of(hashlib.sha256(token.encode()).hexdigest())
    assert any(where.endswith("while consoles are open") for where in kept), "the dump has no token's hash"
    told = hunt.places_of("alice")
    assert {"the log of consolekit.proxy.session", "the API's answer to GET"} <= told
    if store != "memory":
        assert {"consolekit token list", "consolekit sessions list --json"} <= told
    said = {where for where, _ in hunt.said}
    assert {"the answer to /metrics", "the answer to a used token", "what a browser is sent"} <= said


async def test_no_secret_is_printed_by_the_other_commands(tmp_path: Path) -> None:
    hunt = Hunt()
    async with site("sqlite", tmp_path, hunt) as here:
        token = await here.token("own")
        await here.command("token", "check", "--json", said=token)
        await here.command("config", "show")
        await here.command("token", "revoke", here.unknown("own"))  # in the wrong place
    assert not (found := hunt.found()), "\n".join(found)
    assert {"consolekit token check --json"} <= hunt.places_of("alice")
    assert {"consolekit config show"} <= hunt.places_of("service-secret")  # the name of its file


# ---- that a leak is found


def _into_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make, put = [], stored.new_token, SqliteTokenStore.put

    def noted() -> Secret:
        made.append(make())
        return made[-1]

    async def leaky(self: SqliteTokenStore, token_hash: str, grant: Grant) -> None:
        request = attrs.evolve(grant.request, subject=made[-1].reveal())
        await put(self, token_hash, attrs.evolve(grant, request=request))

    monkeypatch.setattr(stored, "new_token", noted)
    monkeypatch.setattr(SqliteTokenStore, "put", leaky)


def _into_a_librarys_log(monkeypatch: pytest.MonkeyPatch) -> None:
    handshake = VncProvider.handshake

    def leaky(self: VncProvider, endpoint: Any) -> Any:
        logging.getLogger("some.library").debug("login with %r", (endpoint.secret.reveal().encode(),))
        return handshake(self, endpoint)

    monkeypatch.setattr(VncProvider, "handshake", leaky)


def _into_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(self: Handler) -> None:
        write(self)
        self.set_header("X-Offered", quote(self.request.headers.get("Sec-WebSocket-Protocol", ""), safe=""))

    write = Handler.set_default_headers
    monkeypatch.setattr(Handler, "set_default_headers", leaky)


LEAKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "the store": (_into_the_store, "own token 1, as it is, in the file tokens.db"),
    "a library's log": (
        _into_a_librarys_log,
        "the password of the console's server, as it is, in the log of some.library",
    ),
    "a header": (_into_a_header, "own token 1, as it is, in the answer to a used token"),
}


@pytest.mark.parametrize("leak", LEAKS)
async def test_a_leak_is_found(leak: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = LEAKS[leak]
    make(monkeypatch)
    hunt = Hunt()
    with every_logger(hunt):
        async with site("sqlite", tmp_path, hunt) as here:
            token = await here.token("own")
            browser = await here.open(token, here.new_resume_key())
            await here.raw("a used token", here.gateway.handshake(token))
            here.dump("now")
            await browser.close()
    assert any(found.startswith(expected) for found in hunt.found())


@pytest.mark.parametrize("form", forms(""))
def test_a_secret_is_found_in_every_form(form: str) -> None:
    hunt = Hunt()
    secret = hunt.secret("it", 'pa/ss"w\u00f6rd-of-us')
    hunt.hear("nothing", "a text that has none")
    hunt.hear("there", b"before " + forms(secret)[form] + b" behind")
    assert f"it, {form}, in there" in hunt.found()
    assert not [found for found in hunt.found() if "nothing" in found]


def test_what_is_in_memory_is_found() -> None:
    clock = SystemClock()
    store = MemoryTokenStore(clock=clock)
    store.kept = {"by": [(Secret("deep"),)]}  # type: ignore[attr-defined]  # as a leaky one would
    assert "deep" in set(inside(store))
