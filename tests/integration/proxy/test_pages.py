"""The page, its assets and noVNC, as a browser gets them."""

from __future__ import annotations

import re

import pytest
from gateway import PipeProvider
from hostile import Wire, ask, house, request, wire

from consolekit import web
from consolekit.core.types import Endpoint
from consolekit.web.kept import KeptFiles

NOWHERE = PipeProvider({"demo": Endpoint(host="127.0.0.1", port=1)})


@pytest.fixture
def novnc(tmp_path):
    """An operator's own copy, and beside it what must not be served."""
    (tmp_path / "secret.txt").write_text("canary")
    (tmp_path / "root" / "core").mkdir(parents=True)
    (tmp_path / "root" / "core" / "rfb.js").write_text("export default 1;")
    (tmp_path / "root" / "link.js").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "root"


@pytest.mark.parametrize("prefix", ["", "/a/b", "/a.b"])
async def test_the_page_lies_under_the_prefix_and_nowhere_else(prefix):
    async with house(NOWHERE, prefix=prefix) as gateway:
        page = await ask(gateway, request(gateway, f"{prefix}/console/"))
        assert page.status == 200
        assert page.body == KeptFiles(web.novnc_dir()).page
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["content-security-policy"] == web.CONTENT_SECURITY_POLICY
        for elsewhere in ("/console/", "/aXb/console/") if prefix else ("/x/console/",):
            assert (await ask(gateway, request(gateway, elsewhere))).status == 404


async def test_a_query_changes_nothing_about_the_page():
    async with house(NOWHERE) as gateway:
        plain = await ask(gateway, request(gateway, "/console/"))
        assert (await ask(gateway, request(gateway, "/console/?path=../x&v=1"))).body == plain.body


async def test_assets_are_asked_after_and_may_be_kept():
    async with house(NOWHERE) as gateway:
        for path in web.assets_dir().rglob("*"):
            if not path.is_file():
                continue
            name = path.relative_to(web.assets_dir()).as_posix()
            asset = await ask(gateway, request(gateway, f"/console/assets/{name}"))
            assert (asset.status, asset.body) == (200, path.read_bytes()), name
            assert asset.headers["cache-control"] == "no-cache"
            if path.suffix == ".js":
                assert asset.headers["content-type"] == "text/javascript; charset=utf-8"
            kept = await ask(
                gateway,
                request(gateway, f"/console/assets/{name}", f"If-None-Match: {asset.headers['etag']}"),
            )
            assert (kept.status, kept.body) == (304, b"")


async def test_what_the_page_names_is_kept_for_ever():
    async with house(NOWHERE, prefix="/c") as gateway:
        page = (await ask(gateway, request(gateway, "/c/console/"))).body.decode()
        named = re.findall(r'(?:href|src)="([^"]+)"', page)
        assert len(named) == 4
        for address in named:
            file = await ask(gateway, request(gateway, f"/c/console/{address}"))
            assert file.status == 200, address
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert file.headers["content-security-policy"] == web.CONTENT_SECURITY_POLICY
        mark = named[0].partition("/")[0]
        missing = await ask(gateway, request(gateway, f"/c/console/{mark}/assets/missing.js"))
        assert (missing.status, missing.headers["cache-control"]) == (404, "no-store")


async def test_a_mark_of_another_release_gets_what_is_here_and_does_not_keep_it():
    """While proxies are upgraded one after the other, a page of one asks another for its files."""
    async with house(NOWHERE) as gateway:
        for mark, status in (("0123456789abcdef/", 200), ("", 200), ("0123456789ABCDEF/", 404), ("x/", 404)):
            file = await ask(gateway, request(gateway, f"/console/{mark}assets/main.js"))
            assert file.status == status, mark
            assert file.headers["cache-control"] == ("no-cache" if status == 200 else "no-store")


async def test_head_answers_without_a_body():
    async with house(NOWHERE) as gateway:
        for path in ("/console/", "/console/assets/main.js"):
            async with wire(gateway) as connection:
                await connection.send(request(gateway, path, "Connection: close", method="HEAD"))
                said = await connection.end()
            assert said.startswith(b"HTTP/1.1 200")
            assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("lines", ["bytes=0-3", "bytes=-4", "bytes=99999999-", "bytes=5-2", "lines=1"])
async def test_ranges(lines):
    async with house(NOWHERE) as gateway:
        answer = await ask(gateway, request(gateway, "/console/assets/main.js", f"Range: {lines}"))
        assert answer.status in (200, 206, 416)
        if answer.status == 206:
            assert len(answer.body) == 4


async def test_an_operators_novnc_and_nothing_beside_it(novnc):
    async with house(NOWHERE, web_root=novnc) as gateway:
        script = await ask(gateway, request(gateway, "/console/novnc/core/rfb.js"))
        assert (script.status, script.body) == (200, b"export default 1;")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        for path in ("../secret.txt", "..%2fsecret.txt", "core/../../secret.txt", "link.js", "core", "%00",
                     "core/rfb.js%00", "x" * 300, "%2e%2e/%2e%2e/secret.txt"):  # fmt: skip
            answer = await ask(gateway, request(gateway, f"/console/novnc/{path}"))
            assert answer.status in (400, 403, 404), path
            assert b"canary" not in answer.body
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "no-store"


async def test_a_copy_that_is_none_is_not_served(tmp_path):
    async with house(NOWHERE, web_root=tmp_path) as gateway:
        assert (await ask(gateway, request(gateway, "/console/novnc/core/rfb.js"))).status == 404
        assert (await ask(gateway, request(gateway, "/console/"))).status == 200  # it says what is missing


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_405_and_say_which_are_not(method):
    async with house(NOWHERE) as gateway, wire(gateway) as connection:
        await connection.send(request(gateway, "/console/", "Content-Length: 0", method=method))
        answer = await Wire.answer(connection)
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, HEAD"
