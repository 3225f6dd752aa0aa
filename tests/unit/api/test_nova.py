"""Nova's form of two operations, over a socket pair: microversions, tokens, refusals."""

from __future__ import annotations

import json
import logging
from urllib.parse import parse_qs, urlsplit

import pytest
from consolesite import Site, make_site
from exchange import HOST, Reply, exchange, request
from tornado.web import Application

from consolekit.api import Callers, KeyEntry, make_api
from consolekit.api.callers import hash_of, new_key
from consolekit.api.nova import HEADERS, Version, asked_versions
from consolekit.auth.stored import new_token
from consolekit.core.errors import ConsoleUnavailable, MalformedRequest, StoreUnavailable
from consolekit.core.types import ConsoleRequest, Endpoint, Secret, Transport

PORTAL, SEER = new_key(), new_key()
BODY = json.dumps({"remote_console": {"protocol": "vnc", "type": "novnc"}}).encode()
GENERAL, OWN = HEADERS


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def app(site: Site) -> Application:
    seer = KeyEntry(sha256=hash_of(SEER), see_secrets=True)
    return make_api(
        site.kit,
        callers=Callers({"portal": KeyEntry(sha256=hash_of(PORTAL)), "seer": seer}),
        hosts=[HOST],
    )


async def link(app: Application, **headers: str) -> Reply:
    given = {"X-Auth-Token": PORTAL.reveal(), **headers}
    return await exchange(app, request("POST", "/v2.1/servers/web-1/remote-consoles", BODY, **given))


async def token_of(app: Application) -> str:
    url = (await link(app)).json()["remote_console"]["url"]
    return parse_qs(urlsplit(url).fragment)["token"][0]


async def show(app: Application, token: str, *, key: Secret = SEER, **headers: str) -> Reply:
    given = {"X-Auth-Token": key.reveal(), **headers}
    return await exchange(app, request("GET", f"/v2.1/os-console-auth-tokens/{token}", None, **given))


class TestAskedVersions:
    @pytest.mark.parametrize(
        ("general", "own", "asked"),
        [
            ([], [], []),
            ([""], [], []),
            (["volume 3.50"], [], []),
            (["volume 3.50"], ["2.40"], [(2, 40)]),
            (["compute 2.31"], [], [(2, 31)]),
            (["volume 3.50, compute 2.6"], [], [(2, 6)]),
            (["volume 3.50", "Compute  2.6"], [], [(2, 6)]),
            (["compute 2.50"], ["2.40"], [(2, 50), (2, 40)]),
            (["compute latest"], ["latest"], [(2, 99), (2, 99)]),
            (["compute 999999999.0"], [], [(999_999_999, 0)]),
        ],
    )
    def test_are_read(self, general: list[str], own: list[str], asked: list[Version]) -> None:
        assert asked_versions(general, own) == asked

    @pytest.mark.parametrize(
        ("general", "own"),
        [
            (["compute"], []),
            (["compute 2"], []),
            (["compute 2.031"], []),
            (["compute 02.31"], []),
            (["compute 2.31 2.32"], []),
            (["compute \u0662.31"], []),
            (["compute 2." + "9" * 5000], []),
            ([], [""]),
            ([], ["compute 2.31"]),
            (["compute 2.31"], ["x"]),
            (["compute 2.31, compute 2.31"], []),
            (["compute 2.31", "compute 2.32"], []),
            ([], ["2.31", "2.31"]),
        ],
    )
    def test_what_is_malformed_is_refused(self, general: list[str], own: list[str]) -> None:
        with pytest.raises(MalformedRequest):
            asked_versions(general, own)


class TestNegotiation:
    @pytest.mark.parametrize(
        ("headers", "served"),
        [
            ({}, "2.31"),
            ({GENERAL: "compute 2.6"}, "2.6"),
            ({GENERAL: "compute latest"}, "2.99"),
            ({OWN: "2.45"}, "2.45"),
            ({GENERAL: "compute 2.50", OWN: "2.45"}, "2.50"),
        ],
    )
    async def test_the_answer_names_what_was_served(
        self, app: Application, headers: dict[str, str], served: str
    ) -> None:
        reply = await link(app, **headers)
        assert reply.status == 200
        assert reply.headers[GENERAL.lower()] == f"compute {served}"
        assert reply.headers[OWN.lower()] == served
        assert reply.headers["vary"] == "OpenStack-API-Version, X-OpenStack-Nova-API-Version"

    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({GENERAL: "compute 2.5"}, 404, "not_found"),
            ({GENERAL: "compute 2.50", OWN: "2.5"}, 404, "not_found"),
            ({GENERAL: "compute two"}, 400, "malformed_request"),
            ({OWN: "2"}, 400, "malformed_request"),
            ({GENERAL: "compute 2.0"}, 406, "not_acceptable"),
            ({GENERAL: "compute 2.100"}, 406, "not_acceptable"),
            ({GENERAL: "compute 3.1"}, 406, "not_acceptable"),
            ({GENERAL: "compute 2.50", OWN: "1.9"}, 406, "not_acceptable"),
        ],
    )
    async def test_what_is_refused_makes_no_link(
        self, app: Application, site: Site, headers: dict[str, str], status: int, code: str
    ) -> None:
        reply = await link(app, **headers)
        assert (reply.status, reply.code) == (status, code)
        assert reply.json()["message"]
        assert "vary" in reply.headers
        assert await site.store.grants() == []

    async def test_a_refused_microversion_leaves_the_token_as_it_is(self, app: Application) -> None:
        token = await token_of(app)
        for version, status in (("2.30", 400), ("2.100", 406), ("x", 400)):
            assert (await show(app, token, **{OWN: version})).status == status
        assert (await show(app, token)).status == 200


class TestRedeeming:
    async def test_names_the_place_without_what_the_provider_keeps(self, app: Application) -> None:
        reply = await show(app, await token_of(app))
        assert reply.status == 200
        assert reply.json() == {
            "console": {
                "instance_uuid": "web-1",
                "host": "192.0.2.1",
                "port": 5900,
                "internal_access_path": None,
            }
        }
        assert "of the rack" not in reply.body.decode()

    async def test_2_99_has_a_tls_port(self, app: Application) -> None:
        reply = await show(app, await token_of(app), **{GENERAL: "compute 2.99"})
        assert reply.json()["console"]["tls_port"] is None
        reply = await show(app, await token_of(app), **{GENERAL: "compute 2.98"})
        assert "tls_port" not in reply.json()["console"]

    async def test_the_path_of_a_websocket_is_told(
        self, app: Application, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def ticket(request: ConsoleRequest) -> Endpoint:
            path, secret = "/ticket/{secret}", Secret("abc")
            return Endpoint(host="esx.example", port=443, transport=Transport.WSS, path=path, secret=secret)

        monkeypatch.setattr(site.rack, "open", ticket)
        console = (await show(app, await token_of(app))).json()["console"]
        assert console["internal_access_path"] == "/ticket/abc"

    async def test_works_once(self, app: Application) -> None:
        token = await token_of(app)
        assert (await show(app, token)).status == 200
        again = await show(app, token)
        assert (again.status, again.code) == (404, "not_found")

    async def test_is_for_keys_that_may_see_secrets(self, app: Application) -> None:
        token = await token_of(app)
        refused = await show(app, token, key=PORTAL)
        assert (refused.status, refused.code) == (403, "permit_refused")
        assert (await show(app, token)).status == 200, "the refusal left the token as it was"

    async def test_is_for_known_keys(self, app: Application) -> None:
        reply = await show(app, await token_of(app), key=new_key())
        assert (reply.status, reply.code) == (401, "caller_refused")

    async def test_tokens_that_open_nothing_look_alike(self, app: Application, site: Site) -> None:
        late = await token_of(app)
        site.clock.advance(61)
        replies = [
            await show(app, token) for token in (late, new_token().reveal(), "", "x", "%00", "a" * 9000)
        ]
        assert {(reply.status, reply.body) for reply in replies} == {(404, replies[0].body)}

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            (ConsoleUnavailable("starting"), 503, "console_unavailable"),
            (StoreUnavailable("down"), 503, "store_unavailable"),
            (RuntimeError("a bug"), 503, "provider_error"),
        ],
    )
    async def test_faults(
        self, app: Application, site: Site, monkeypatch: pytest.MonkeyPatch,
        fault: Exception, status: int, code: str,
    ) -> None:  # fmt: skip
        async def failing(*_: object, **__: object) -> Endpoint:
            raise fault

        token = await token_of(app)
        if isinstance(fault, StoreUnavailable):
            monkeypatch.setattr(site.store, "take", failing)
        else:
            monkeypatch.setattr(site.rack, "open", failing)
        reply = await show(app, token)
        assert (reply.status, reply.code) == (status, code)
        assert reply.json()["message"]

    async def test_nothing_secret_is_logged(self, app: Application, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        token = await token_of(app)
        for _ in range(2):
            await show(app, token)
        written = "".join(str(vars(record)) for record in caplog.records)
        assert "console named" in written
        for secret in (token, SEER.reveal(), PORTAL.reveal(), "of the rack"):
            assert secret not in written
