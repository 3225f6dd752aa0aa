"""What every operation does alike, over a socket pair."""

from __future__ import annotations

import gzip
import json

import pytest
from consolesite import Site, make_site
from exchange import HOST, Reply, exchange, exchanges, request
from tornado.web import Application

from consolekit.api import Callers, KeyEntry, make_api
from consolekit.api.app import ROUTES
from consolekit.api.callers import hash_of, new_key
from consolekit.api.handler import MAX_BODY, ApiHandler
from consolekit.http.headers import SAFE_HEADERS

KEY = new_key()
BEARER = {"Authorization": f"Bearer {KEY.reveal()}"}
GOOD = json.dumps({"protocol": "vnc", "type": "novnc"}).encode()
CREATE = "/servers/web-1/console"


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def app(site: Site) -> Application:
    return make_api(site.kit, callers=Callers({"portal": KeyEntry(sha256=hash_of(KEY))}), hosts=[HOST])


@pytest.fixture
def open_app(site: Site) -> Application:
    return make_api(site.kit, callers=Callers.anonymous(), hosts=[HOST])


async def post(app: Application, body: bytes = GOOD, target: str = CREATE, **headers: str | None) -> Reply:
    return await exchange(app, request("POST", target, body, **{**BEARER, **headers}))


OPERATIONS = [
    (method, path.replace("{", "").replace("}", ""), handler)
    for path, handler in ROUTES.items()
    for method in ("GET", "POST", "DELETE")
    if hasattr(handler, f"on_{method.lower()}")
]


class TestCallers:
    @pytest.mark.parametrize(("method", "target", "handler"), OPERATIONS)
    async def test_no_operation_but_the_description_forgets_to_ask(
        self, app: Application, method: str, target: str, handler: type[ApiHandler]
    ) -> None:
        reply = await exchange(app, request(method, target, GOOD if method == "POST" else None))
        assert reply.status == (200 if handler.public else 401)
        assert handler.public == (target in {"/openapi.yaml", "/openapi.json", "/schema"})

    @pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer cka_" + "k" * 43, "Basic YTpi", "x" * 999])
    async def test_case_21_one_refusal_for_all(self, app: Application, shown: str | None) -> None:
        reply = await post(app, Authorization=shown)
        assert (reply.status, reply.code) == (401, "caller_refused")
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.body == (await post(app, Authorization=None)).body

    async def test_x_auth_token_is_nova_s_alone(self, app: Application) -> None:
        token = {"Authorization": None, "X_Auth_Token": KEY.reveal()}
        nova = json.dumps({"remote_console": json.loads(GOOD)}).encode()
        assert (await post(app, **token)).status == 401
        assert (await post(app, nova, "/v2.1/servers/web-1/remote-consoles", **token)).status == 200


class TestCase21:
    """What a page of another site can make a browser send."""

    SIMPLE = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None, "")

    @pytest.mark.parametrize("content_type", SIMPLE)
    async def test_case_21_what_needs_no_preflight_is_refused(
        self, app: Application, open_app: Application, site: Site, content_type: str | None
    ) -> None:
        for one in (app, open_app):
            reply = await post(one, Content_Type=content_type)
            assert (reply.status, reply.code) == (415, "unsupported_media_type")
        assert (await post(app, Content_Type=content_type, Authorization=None)).status == 401
        assert await site.store.grants() == []

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "null", "", f"https://{HOST}", "http://localhost", "http://127.0.0.1:6081"],
    )
    async def test_case_21_without_keys_other_origins_are_refused(
        self, open_app: Application, site: Site, origin: str
    ) -> None:
        for sent in (
            request("POST", CREATE, GOOD, Origin=origin),
            request("GET", "/sessions", Origin=origin),
            request("DELETE", "/grants/x", Origin=origin),
        ):
            reply = await exchange(open_app, sent)
            assert (reply.status, reply.code) == (403, "origin_refused")
        assert await site.store.grants() == []

    @pytest.mark.parametrize("origin", [None, f"http://{HOST}", f"HTTP://{HOST.upper()}"])
    async def test_case_21_without_keys_our_own_are_not(
        self, open_app: Application, origin: str | None
    ) -> None:
        assert (await exchange(open_app, request("POST", CREATE, GOOD, Origin=origin))).status == 200

    async def test_case_21_with_keys_the_origin_says_nothing(self, app: Application) -> None:
        assert (await post(app, Origin="https://portal.example.org")).status == 200

    async def test_case_21_a_rebound_name_is_misdirected(self, open_app: Application) -> None:
        reply = await exchange(open_app, request("POST", CREATE, GOOD, Host="evil.example:6081"))
        assert (reply.status, reply.code) == (421, "misdirected_request")

    async def test_case_21_no_answer_invites_other_origins(self, open_app: Application) -> None:
        asked = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
        reply = await exchange(open_app, request("OPTIONS", CREATE, **asked))
        assert not [name for name in reply.headers if name.startswith("access-control")]


class TestBodies:
    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
    async def test_case_10_compressed_bodies_are_refused(self, app: Application, encoding: str) -> None:
        reply = await post(app, gzip.compress(GOOD), Content_Encoding=encoding)
        assert (reply.status, reply.code) == (415, "unsupported_media_type")

    async def test_case_10_the_largest_body_is_read(self, app: Application) -> None:
        body = GOOD + b" " * (MAX_BODY - len(GOOD))
        assert (await post(app, body)).status == 200

    @pytest.mark.parametrize("size", [MAX_BODY + 1, 1024 * 1024])
    async def test_case_10_a_larger_one_is_not_even_if_it_is_all_sent(
        self, app: Application, size: int
    ) -> None:
        reply = await post(app, b" " * size)
        assert (reply.status, reply.code) == (413, "content_too_large")
        assert reply.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("length", ["101000000", "65537", "9" * 30, "134217729"])
    async def test_case_10_one_that_is_only_announced_is_refused_at_once(
        self, app: Application, length: str
    ) -> None:
        sent = request("POST", CREATE, b"", **{**BEARER, "Content_Length": length})
        assert (await exchange(app, sent)).status == 413

    async def test_case_10_no_leave_is_given_for_it(self, app: Application) -> None:
        headers = {**BEARER, "Content_Length": "101000000", "Expect": "100-continue"}
        assert [r.status for r in await exchanges(app, request("POST", CREATE, b"", **headers))] == [413]

    async def test_case_10_chunks_are_counted(self, app: Application) -> None:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        chunked = {**BEARER, "Content_Length": None, "Transfer_Encoding": "chunked"}
        head = request("POST", CREATE, b"", **chunked)
        small = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
        assert (await exchange(app, small)).status == 200
        assert (await exchange(app, head + chunk * 16 + b"1\r\n \r\n0\r\n\r\n")).status == 413
        assert (await exchange(app, head + chunk * 4000)).status == 413, "one that never ends"

    async def test_case_10_size_comes_first_everywhere(self, app: Application) -> None:
        for target in ("/sessions", "/nothing", CREATE):
            reply = await exchange(app, request("DELETE", target, b" " * (MAX_BODY + 1)))
            assert reply.status == 413

    async def test_case_10_parts_of_a_form_are_not_looked_at(self, app: Application) -> None:
        part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        reply = await post(app, part * 1000 + b"--x--\r\n", Content_Type="multipart/form-data; boundary=x")
        assert reply.status == 415
        assert (await post(app, part * 100_000, Content_Type="multipart/form-data; boundary=x")).status == 413

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b'{"protocol":"vnc","protocol":"vnc","type":"novnc"}', b"[" * 60_000,
         b'{"a":' * 12_000, b'{"a":NaN}', b"\xff", b'{"protocol":"\\ud800","type":"novnc"}'],
    )  # fmt: skip
    async def test_what_is_no_json_object_is_malformed(self, app: Application, body: bytes) -> None:
        for target in (CREATE, "/v2.1/servers/web-1/remote-consoles"):
            reply = await post(app, body, target)
            assert (reply.status, reply.code) == (400, "malformed_request")


class TestMethods:
    @pytest.mark.parametrize("path", ROUTES)
    async def test_405_comes_with_what_is_allowed(self, app: Application, path: str) -> None:
        target, own = path.replace("{", "").replace("}", ""), ROUTES[path]
        allowed = {"OPTIONS"} | {m for m in ("GET", "POST", "DELETE") if hasattr(own, f"on_{m.lower()}")}
        allowed |= {"HEAD"} & {"HEAD" if "GET" in allowed else ""}
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - allowed:
            reply = await exchange(app, request(method, target, **BEARER))
            assert reply.status == 405, (method, target)
            assert set(reply.headers["allow"].split(", ")) == allowed
            if method != "HEAD":
                assert reply.code == "method_not_allowed"

    async def test_head_is_get_without_its_body(self, app: Application) -> None:
        for target in ("/sessions", "/schema", "/servers/web-1/consoles"):
            got = await exchange(app, request("GET", target, **BEARER))
            head = await exchange(app, request("HEAD", target, **BEARER))
            assert (head.status, head.body) == (200, b"")
            assert head.headers.keys() == got.headers.keys()
            assert head.headers["content-length"] == str(len(got.body))

    async def test_head_of_what_is_refused(self, app: Application) -> None:
        reply = await exchange(app, request("HEAD", "/sessions"))
        assert (reply.status, reply.body) == (401, b"")

    async def test_options_says_what_is_allowed_and_asks_for_no_key(self, app: Application) -> None:
        reply = await exchange(app, request("OPTIONS", "/sessions"))
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["allow"] == "GET, HEAD, OPTIONS"

    @pytest.mark.parametrize("condition", ["If_None_Match", "If_Match"])
    async def test_nothing_is_revalidated(self, app: Application, condition: str) -> None:
        reply = await exchange(app, request("GET", "/schema", **{condition: "*"}))
        assert reply.status == 200
        assert "etag" not in reply.headers


class TestQuery:
    @pytest.mark.parametrize(
        "target", ["/sessions?a=1", "/sessions?", "/schema?x", "/openapi.json?server_id=a"]
    )
    async def test_unknown_keys_are_malformed(self, app: Application, target: str) -> None:
        reply = await exchange(app, request("GET", target, **BEARER))
        known = target.partition("?")[2] in {"", "x"}  # a name without "=" is no parameter to tornado
        assert reply.status == (200 if known and "x" not in target[-1] else 400)

    async def test_a_key_is_given_once(self, app: Application) -> None:
        reply = await exchange(app, request("GET", "/sessions?server_id=a&server_id=b", **BEARER))
        assert (reply.status, reply.code) == (400, "malformed_request")


class TestCase54:
    CASES = (
        ("GET", "/schema", None, {}, 200),
        ("OPTIONS", "/schema", None, {}, 204),
        ("POST", CREATE, GOOD, BEARER, 200),
        ("POST", CREATE, b"{", BEARER, 400),
        ("POST", CREATE, GOOD, {}, 401),
        ("GET", "/nothing", None, BEARER, 404),
        ("PUT", CREATE, GOOD, BEARER, 405),
        ("POST", "/servers/off-1/console", GOOD, BEARER, 409),
        ("POST", CREATE, b" " * (MAX_BODY + 1), BEARER, 413),
        ("GET", "/" + "a" * 13000, None, BEARER, 414),
        ("POST", CREATE, GOOD, {**BEARER, "Content_Type": "text/plain"}, 415),
        ("GET", "/schema", None, {"Host": "evil.example"}, 421),
        ("POST", CREATE, b"{}", BEARER, 422),
        ("GET", "/schema", None, {"X_Long": "a" * 9000}, 431),
        ("POST", CREATE, GOOD.replace(b"novnc", b"xvpvnc"), BEARER, 501),
        ("POST", "/servers/late-1/console", GOOD, BEARER, 503),
        ("POST", "/servers/slow-1/console", GOOD, BEARER, 504),
    )

    @pytest.mark.parametrize(("method", "target", "body", "headers", "status"), CASES)
    async def test_case_54_headers_of_every_answer(
        self,
        app: Application,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        status: int,
    ) -> None:
        reply = await exchange(app, request(method, target, body, **headers))
        assert reply.status == status
        assert {name: reply.headers.get(name.lower()) for name in SAFE_HEADERS} == dict(SAFE_HEADERS)
        assert not {"server", "set-cookie", "location", "etag"} & set(reply.headers)
        if status >= 400:
            assert reply.code
            assert KEY.reveal() not in reply.body.decode()


async def test_case_07_a_second_request_in_the_same_bytes_is_answered_alone(app: Application) -> None:
    failed = request("POST", CREATE, GOOD, Connection=None, Upgrade="websocket")
    first, *rest = await exchanges(app, failed + request("GET", "/schema"))
    assert first.status == 401
    assert [reply.status for reply in rest] == [200]


async def test_case_06_an_upgrade_is_an_ordinary_request(app: Application, site: Site) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade, close", "Sec_WebSocket_Version": "13"}
    assert (await exchange(app, request("POST", "/sessions", b"", **BEARER, **upgrade))).status == 405
    assert (await exchange(app, request("GET", "/sessions", **BEARER, **upgrade))).status == 200
    assert await site.store.grants() == []
