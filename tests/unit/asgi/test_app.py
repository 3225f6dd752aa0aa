"""asgi.app: pages, refusals and the life of the application, without a server."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from asgiserver import Connection, http, websocket
from consolesite import Site, make_site

from consolekit import web
from consolekit.asgi import AsgiConsoles
from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import StoreUnavailable
from consolekit.testing.clock import ManualClock
from consolekit.web.kept import KeptFiles


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = make_site()
    yield found
    await found.kit.aclose()


@pytest.fixture
async def app(site: Site) -> AsyncIterator[AsgiConsoles]:
    found = AsgiConsoles(site.kit)
    await found.start()
    yield found
    await found.aclose()


async def test_the_page_is_never_stored_and_keeps_its_policy(app: AsgiConsoles) -> None:
    status, headers, body = await http("/gw/console/").answer(app)
    assert (status, body) == (200, KeptFiles(web.novnc_dir()).page)
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == web.CONTENT_SECURITY_POLICY
    assert headers["x-frame-options"] == "DENY"


async def test_files_are_sent_once(app: AsgiConsoles) -> None:
    path = "/gw/console/assets/main.js"
    status, headers, body = await http(path).answer(app)
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert body == (web.assets_dir() / "main.js").read_bytes()
    known = f'"other", W/{headers["etag"]}'
    assert (await http(path, if_none_match=known).answer(app))[::2] == (304, b"")
    status, again, body = await http(path, "HEAD").answer(app)
    assert (status, body, again["content-length"]) == (200, b"", headers["content-length"])


async def test_files_are_kept_at_the_addresses_that_the_page_names(app: AsgiConsoles) -> None:
    mark = KeptFiles(web.novnc_dir()).mark
    for address, cache in (
        (f"/gw/console/{mark}/assets/main.js", "public, max-age=31536000, immutable"),
        (f"/gw/console/{mark}/novnc/core/rfb.js", "public, max-age=31536000, immutable"),
        ("/gw/console/0123456789abcdef/assets/main.js", "no-cache"),
        ("/gw/console/assets/main.js", "no-cache"),
    ):
        status, headers, _ = await http(address).answer(app)
        assert (status, headers["cache-control"]) == (200, cache), address
    for nothing in (
        f"/gw/console/{mark}/",
        f"/gw/console/{mark}/console.html",
        "/gw/console/x/assets/main.js",
    ):
        assert (await http(f"/gw/console/{nothing}").answer(app))[0] == 404


@pytest.mark.parametrize("root_path", ["", "/gw", "/outer/gw"])
async def test_it_is_found_however_it_is_mounted(app: AsgiConsoles, root_path: str) -> None:
    whole = http("/gw/console/")
    whole.scope["root_path"] = root_path if root_path != "/outer/gw" else "/gw"
    assert (await whole.answer(app))[0] == 200
    cut = http("/console/")
    cut.scope["root_path"] = "/gw"
    assert (await cut.answer(app))[0] == 200


@pytest.mark.parametrize(
    ("connection", "status", "code"),
    [
        (http("/gw/nothing"), 404, "not_found"),
        (http("/console/"), 404, "not_found"),
        (http("/gw"), 404, "not_found"),
        (http("/gw/console/assets/"), 404, "not_found"),
        (http("/gw/console/assets/../console.html"), 404, "not_found"),
        (http("/gw/console/assets//etc/passwd"), 404, "not_found"),
        (http("/gw/console/assets/\0"), 404, "not_found"),
        (http("/gw/console/", "POST"), 405, "method_not_allowed"),
        (http("/gw/console/", host="evil.example.org"), 421, "misdirected_request"),
        (http("/gw/console/", host=""), 400, "bad_request"),
        (http("/gw/" + "a" * 13_000), 414, "uri_too_long"),
        (http("/gw/console/", x="a" * 9000), 431, "request_header_fields_too_large"),
        (http("/gw/ws"), 426, "upgrade_required"),
        (http("/gw/console/outcome"), 401, "token_refused"),
    ],
    ids=lambda value: str(value) if isinstance(value, int | str) else "request",
)
async def test_refusals_are_problem_documents(
    app: AsgiConsoles, connection: Connection, status: int, code: str
) -> None:
    found, headers, body = await connection.answer(app)
    assert (found, json.loads(body)["code"]) == (status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    wanted = {401: "www-authenticate", 405: "allow", 426: "sec-websocket-version"}
    assert wanted.get(status, "content-length") in headers


async def test_the_outcome_of_nothing_is_told_to_nobody(app: AsgiConsoles) -> None:
    key = secrets.token_urlsafe(32)
    asked = http("/gw/console/outcome", authorization="Bearer ckt_nobody", consolekit_resume=key)
    assert (await asked.answer(app))[0] == 401


async def test_a_websocket_elsewhere_is_none(app: AsgiConsoles) -> None:
    connection = websocket("/gw/console/")
    await app(connection.scope, connection.incoming.get, connection.send)
    start = connection.sent.get_nowait()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    plain = websocket("/gw/console/")
    plain.scope["extensions"] = {}
    await app(plain.scope, plain.incoming.get, plain.send)
    assert plain.sent.get_nowait()["type"] == "websocket.close"


async def test_alone_it_lives_by_the_lifespan(site: Site) -> None:
    app, connection = AsgiConsoles(site.kit), Connection({"type": "lifespan"})
    connection.incoming.put_nowait({"type": "lifespan.startup"})
    living = asyncio.get_running_loop().create_task(
        app(connection.scope, connection.incoming.get, connection.send)
    )
    assert (await connection.sent.get())["type"] == "lifespan.startup.complete"
    assert app.engine.sessions.watching
    connection.incoming.put_nowait({"type": "lifespan.shutdown"})
    assert (await connection.sent.get())["type"] == "lifespan.shutdown.complete"
    await living


async def test_a_store_that_cannot_be_read_fails_the_start() -> None:
    class Away(MemoryTokenStore):
        async def revocations(self, after: int) -> object:  # type: ignore[override]  # it never returns
            raise StoreUnavailable("away")

    site = make_site()
    site.kit.store = Away(clock=ManualClock())
    connection = Connection({"type": "lifespan"})
    connection.incoming.put_nowait({"type": "lifespan.startup"})
    await AsgiConsoles(site.kit)(connection.scope, connection.incoming.get, connection.send)
    assert connection.sent.get_nowait()["type"] == "lifespan.startup.failed"
    await site.kit.aclose()


async def test_what_was_not_started_says_so(site: Site) -> None:
    with pytest.raises(RuntimeError, match=r"start\(\)"):
        await http("/gw/console/").answer(AsgiConsoles(site.kit))


async def test_an_unknown_scope_is_told(app: AsgiConsoles) -> None:
    with pytest.raises(ValueError, match="'mail'"):
        await app({"type": "mail"}, asyncio.Queue().get, Connection({}).send)


def test_it_imports_no_web_framework() -> None:
    found = "(m for m in sys.modules if m.partition('.')[0] in ('tornado', 'starlette', 'uvicorn'))"
    script = f"import sys, consolekit.asgi; print(*{found})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        "tornado",
        "tornado.speedups",
        "tornado.util",
    }  # its routine for masks
