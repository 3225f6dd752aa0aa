"""The operations, over a socket pair."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import yaml
from consolesite import Rack, Site, make_site, session
from exchange import HOST, Reply, exchange, request
from tornado.web import Application

from consolekit.api import Callers, KeyEntry, make_api
from consolekit.api.callers import hash_of, new_key
from consolekit.api.handlers import rfc3339
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Mode, Scope, Secret

PORTAL, TEAM, TRUSTED, WATCHER = new_key(), new_key(), new_key(), new_key()
GOOD = {"protocol": "vnc", "type": "novnc"}
CANARY = "C4n4ry_V41ue"


@pytest.fixture
def site() -> Site:
    return make_site()


@pytest.fixture
def app(site: Site) -> Application:
    team = KeyEntry(sha256=hash_of(TEAM), servers=("web-*",), subjects=("team-*",))
    trusted = KeyEntry(sha256=hash_of(TRUSTED), see_secrets=True)
    watcher = KeyEntry(sha256=hash_of(WATCHER), modes=(Mode.VIEW,), see_secrets=True)
    keys = {"portal": KeyEntry(sha256=hash_of(PORTAL)), "team": team, "trusted": trusted, "watcher": watcher}
    callers = Callers(keys)
    return make_api(site.kit, callers=callers, hosts=[HOST])


async def ask(
    app: Application, method: str, target: str, data: object = None, *, key: Secret = PORTAL
) -> Reply:
    body = None if data is None else json.dumps(data).encode()
    return await exchange(app, request(method, target, body, Authorization=f"Bearer {key.reveal()}"))


async def create(app: Application, server_id: str = "web-1", *, key: Secret = PORTAL, **data: Any) -> Reply:
    return await ask(app, "POST", f"/servers/{server_id}/console", {**GOOD, **data}, key=key)


class TestCreate:
    async def test_answers_with_the_link(self, app: Application, site: Site) -> None:
        reply = await create(app, subject="alice", ttl_seconds=90)
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        answer = reply.json()
        (grant,) = await site.store.grants()
        assert set(answer) == {"protocol", "type", "mode", "url", "server_id", "grant_id", "expires_at"}
        assert answer["mode"] == "interact"
        assert (answer["protocol"], answer["type"], answer["server_id"]) == ("vnc", "novnc", "web-1")
        assert answer["grant_id"] == grant.id
        assert grant.request.subject == "alice"
        assert datetime.fromisoformat(answer["expires_at"]).timestamp() == site.clock.now() + 90
        fragment = parse_qs(urlsplit(answer["url"]).fragment)
        assert fragment["token"][0].startswith("ckt_")
        assert answer["url"].startswith("https://consoles.example.org/gw/console/#")

    async def test_a_key_for_looking_makes_links_for_looking(
        self, app: Application, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Rack, "modes", tuple(Mode))
        reply = await create(app, mode="view", key=WATCHER)
        assert (reply.status, reply.json()["mode"]) == (200, "view")
        assert [grant.request.mode for grant in await site.store.grants()] == [Mode.VIEW]
        for refused in (await create(app, key=WATCHER), await create(app, mode="interact", key=WATCHER)):
            assert (refused.status, refused.code) == (403, "permit_refused")

    async def test_a_provider_that_cannot_be_held_to_looking(self, app: Application, site: Site) -> None:
        reply = await create(app, mode="view")
        assert (reply.status, reply.code) == (501, "console_not_implemented")
        assert await site.store.grants() == []

    @pytest.mark.parametrize("mode", [None, "", "VIEW", "watch", 1, True, ["view"]])
    async def test_modes_that_there_are_not(self, app: Application, mode: object) -> None:
        reply = await create(app, mode=mode)
        assert (reply.status, reply.code) == (422, "invalid_request")

    async def test_the_subject_is_the_caller_where_none_is_named(self, app: Application, site: Site) -> None:
        await create(app)
        assert [grant.request.subject for grant in await site.store.grants()] == ["portal"]

    @pytest.mark.parametrize(
        ("server_id", "data", "status", "code"),
        [
            ("web-1", {"type": "webmks"}, 422, "unsupported_console"),
            ("web-1", {"type": "xvpvnc"}, 501, "console_not_implemented"),
            ("web-1", {"extra": 1}, 422, "invalid_request"),
            ("web-9", {}, 404, "unknown_server"),
            ("off-1", {}, 409, "console_conflict"),
            ("late-1", {}, 503, "console_unavailable"),
            ("slow-1", {}, 504, "connect_timeout"),
        ],
    )
    async def test_refusals(
        self, app: Application, server_id: str, data: dict[str, Any], status: int, code: str
    ) -> None:
        reply = await create(app, server_id, **data)
        assert (reply.status, reply.code) == (status, code)

    async def test_a_wrong_pair_is_told_the_valid_ones(self, app: Application) -> None:
        reply = await create(app, type="webmks")
        assert "valid pairs: serial/serial, vnc/novnc" in reply.json()["detail"]

    async def test_every_problem_is_told_and_no_value(self, app: Application) -> None:
        reply = await ask(app, "POST", "/servers/web-1/console", {"protocol": CANARY, "password": CANARY})
        assert {problem["path"] for problem in reply.json()["problems"]} == {"password", "type"}
        assert CANARY not in reply.body.decode()

    async def test_a_key_is_held_to_its_servers_and_subjects(self, app: Application, site: Site) -> None:
        assert (await create(app, key=TEAM, subject="team-red")).status == 200
        for server_id, data in (
            ("web-1", {}),
            ("web-1", {"subject": "alice"}),
            ("off-1", {"subject": "team-a"}),
        ):
            reply = await create(app, server_id, key=TEAM, **data)
            assert (reply.status, reply.code) == (403, "permit_refused")
        unknown, known = [await create(app, name, key=TEAM, subject="team-a") for name in ("off-9", "off-1")]
        assert unknown.body == known.body, "a refusal must not tell which servers exist"
        assert len(await site.store.grants()) == 1

    async def test_a_store_that_is_down_is_told_as_such(self, app: Application, site: Site) -> None:
        async def down(*_: object) -> None:
            raise StoreUnavailable(CANARY)

        site.store.put = down  # type: ignore[method-assign]  # a fault
        reply = await create(app)
        assert (reply.status, reply.code) == (503, "store_unavailable")
        assert reply.headers["retry-after"] == "5"
        assert CANARY not in reply.body.decode()

    async def test_a_bug_is_told_as_nothing(self, app: Application, site: Site) -> None:
        async def bug(*_: object) -> None:
            raise RuntimeError(CANARY)

        site.store.put = bug  # type: ignore[method-assign]  # a fault
        reply = await create(app)
        assert (reply.status, reply.code) in {(500, "internal"), (503, "store_unavailable")}
        assert CANARY not in reply.body.decode()


class TestCase52:
    """What may stand where a server id or a lifetime stands."""

    @pytest.mark.parametrize(
        "server_id",
        ["", "a" * 10240, "..", "../..", "%2e%2e", "..%2f..%2fetc", "%00", "web-1%00", "%0A", "web-1%0A", "é",
         "%F0%9F%92%A9", "%20", "a%2Fb", "%252e", "-a", "a b", "null,", "[]", "%22"],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "form", ["/servers/{}/console", "/v2.1/servers/{}/remote-consoles", "/servers/{}/consoles"]
    )
    async def test_case_52_server_ids(self, app: Application, site: Site, server_id: str, form: str) -> None:
        target = form.format(quote(server_id, safe="/%.,-"))
        nova = form.startswith("/v2.1")
        data = None if form.endswith("consoles") and not nova else {"remote_console": GOOD} if nova else GOOD
        reply = await ask(app, "GET" if data is None else "POST", target, data)
        if server_id == "../..":
            assert (reply.status, reply.code) == (404, "not_found")
        else:
            assert (reply.status, reply.code) == (400 if nova else 422, "invalid_request")
            assert [problem["path"] for problem in reply.json()["problems"]] == ["server_id"]
        assert site.rack.checked == []

    async def test_case_52_an_id_that_is_no_unicode(self, app: Application) -> None:
        assert (await ask(app, "GET", "/servers/%ff/consoles")).status == 400

    async def test_case_52_ids_are_decoded_once(self, app: Application) -> None:
        assert (await create(app, "%77eb-1")).json()["server_id"] == "web-1"
        assert (await create(app, "%2577eb-1")).status == 422

    @pytest.mark.parametrize("ttl", [-1, 0, 601, 10**9, "60", 1.5, True, None, [], {}])
    async def test_case_52_lifetimes(self, app: Application, site: Site, ttl: object) -> None:
        reply = await create(app, ttl_seconds=ttl)
        assert (reply.status, reply.code) == (422, "invalid_request")
        assert reply.json()["problems"][0]["path"] == "ttl_seconds"
        assert await site.store.grants() == []

    @pytest.mark.parametrize("value", [None, 7, True, [], {}, "", "VNC", "vnc\n", CANARY, "a" * 10240])
    @pytest.mark.parametrize("place", ["protocol", "type"])
    async def test_case_52_words(self, app: Application, place: str, value: object) -> None:
        reply = await create(app, **{place: value})
        assert (reply.status, reply.code) == (422, "invalid_request")
        assert CANARY not in reply.body.decode()


class TestOffers:
    async def test_lists_the_server_s_consoles(self, app: Application) -> None:
        assert (await ask(app, "GET", "/servers/web-1/consoles")).json() == {
            "consoles": [
                {"protocol": "serial", "type": "serial", "available": True},
                {"protocol": "vnc", "type": "novnc", "available": True},
            ]
        }

    async def test_says_why_one_is_not_available(self, app: Application) -> None:
        assert (await ask(app, "GET", "/servers/off-1/consoles")).json() == {
            "consoles": [{"protocol": "vnc", "type": "novnc", "available": False, "code": "console_conflict"}]
        }

    async def test_a_server_that_nobody_knows(self, app: Application) -> None:
        assert (await ask(app, "GET", "/servers/web-9/consoles")).code == "unknown_server"

    async def test_is_for_no_subject_but_for_a_server(self, app: Application) -> None:
        assert (await ask(app, "GET", "/servers/web-1/consoles", key=TEAM)).status == 200
        assert (await ask(app, "GET", "/servers/off-1/consoles", key=TEAM)).code == "permit_refused"


class TestConnectInfo:
    PATH = "/servers/web-1/connect-info?protocol=serial&type=serial"

    async def test_secrets_only_for_keys_that_may_see_them(self, app: Application) -> None:
        plain, trusted = [(await ask(app, "GET", self.PATH, key=key)).json() for key in (PORTAL, TRUSTED)]
        assert plain == {
            "protocol": "serial",
            "type": "serial",
            "server_id": "web-1",
            "connect_info": {"host": "192.0.2.1", "port": 4000, "sessionTicket": "***"},
        }
        assert trusted["connect_info"] == {**plain["connect_info"], "sessionTicket": "of the wires"}

    async def test_secrets_inside(
        self, app: Application, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def nested(_: object) -> dict[str, object]:
            return {"ways": [{"ticket": Secret("cst-1")}, 5, None]}

        monkeypatch.setattr(site.kit.registry.get("wires"), "connect_info", nested)
        assert (await ask(app, "GET", self.PATH)).json()["connect_info"] == {
            "ways": [{"ticket": "***"}, 5, None]
        }

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("", "invalid_request"),
            ("protocol=serial", "invalid_request"),
            ("protocol=&type=serial", "invalid_request"),
            ("protocol=Serial&type=serial", "invalid_request"),
            ("protocol=serial&type=serial&type=serial", "malformed_request"),
            ("protocol=serial&type=serial&secrets=1", "malformed_request"),
            ("protocol=serial&type=novnc", "unsupported_console"),
            ("protocol=vnc&type=novnc", "console_not_implemented"),
        ],
    )
    async def test_refusals(self, app: Application, query: str, code: str) -> None:
        assert (await ask(app, "GET", f"/servers/web-1/connect-info?{query}")).code == code

    async def test_is_for_no_subject_but_for_a_server(self, app: Application) -> None:
        assert (await ask(app, "GET", self.PATH, key=TEAM)).status == 200
        other = self.PATH.replace("web-1", "off-1")
        assert (await ask(app, "GET", other, key=TEAM)).code == "permit_refused"
        assert (await ask(app, "GET", other)).code == "unknown_server"


class TestGrants:
    async def test_are_taken_back_once(self, app: Application, site: Site) -> None:
        grant_id = (await create(app)).json()["grant_id"]
        reply = await ask(app, "DELETE", f"/grants/{grant_id}")
        assert (reply.status, reply.body) == (204, b"")
        assert await site.store.grants() == []
        assert (await ask(app, "DELETE", f"/grants/{grant_id}")).code == "not_found"

    async def test_what_is_not_the_caller_s_is_not_there(self, app: Application, site: Site) -> None:
        answer = (await create(app, subject="alice")).json()
        token = parse_qs(urlsplit(answer["url"]).fragment)["token"][0]
        bodies = {
            (await ask(app, "DELETE", f"/grants/{name}", key=TEAM)).body
            for name in (answer["grant_id"], "g-9", "", token, "%00", "a" * 9000)
        }
        assert len(bodies) == 1
        assert len(await site.store.grants()) == 1


class TestSessions:
    async def test_are_listed_as_far_as_the_caller_may_see(self, app: Application, site: Site) -> None:
        infos = [session("s-1", bytes_in=7), session("s-2", server_id="web-2", subject="team-red")]
        await site.store.keep_sessions("proxy", infos)
        listed = (await ask(app, "GET", "/sessions")).json()["sessions"]
        assert [one["session_id"] for one in listed] == ["s-1", "s-2"]
        assert listed[0] == {
            "session_id": "s-1",
            "grant_id": "g-1",
            "protocol": "vnc",
            "type": "novnc",
            "server_id": "web-1",
            "subject": "alice",
            "mode": "interact",
            "address": "192.0.2.7",
            "started_at": "2027-01-15T08:00:00.250Z",
            "bytes_in": 7,
            "bytes_out": 0,
        }
        (only,) = (await ask(app, "GET", "/sessions", key=TEAM)).json()["sessions"]
        assert only["session_id"] == "s-2"
        (only,) = (await ask(app, "GET", "/sessions?server_id=web-1")).json()["sessions"]
        assert only["session_id"] == "s-1"
        assert (await ask(app, "GET", "/sessions?server_id=web-9")).json() == {"sessions": []}

    @pytest.mark.parametrize("value", ["", "..", "%00", "a" * 200, "%C3%A9", "a%0A", "+a", "a+"])
    async def test_case_52_the_filter_is_a_server_id(self, app: Application, value: str) -> None:
        reply = await ask(app, "GET", f"/sessions?server_id={value}")
        assert (reply.status, reply.code) == (422, "invalid_request")

    async def test_the_filter_is_unicode(self, app: Application) -> None:
        assert (await ask(app, "GET", "/sessions?server_id=%ff")).status == 400

    async def test_are_ended(self, app: Application, site: Site) -> None:
        await site.store.keep_sessions("proxy", [session()])
        assert (await ask(app, "DELETE", "/sessions/s-1", key=TEAM)).code == "not_found"
        assert (await ask(app, "DELETE", "/sessions/s-9")).code == "not_found"
        assert (await site.store.revocations(-1))[0] == 0
        assert (await ask(app, "DELETE", "/sessions/s-1")).status == 204
        _, (order,) = await site.store.revocations(0)
        assert (order.scope, order.value) == (Scope.SESSION, "s-1")


class TestNova:
    PATH = "/v2.1/servers/{}/remote-consoles"

    async def nova(
        self, app: Application, data: object, server_id: str = "web-1", key: Secret = PORTAL
    ) -> Reply:
        return await ask(app, "POST", self.PATH.format(server_id), data, key=key)

    async def test_answers_in_nova_s_form(self, app: Application, site: Site) -> None:
        reply = await self.nova(app, {"remote_console": GOOD})
        assert reply.status == 200
        console = reply.json()["remote_console"]
        assert set(reply.json()) == {"remote_console"}
        assert {name: console[name] for name in ("protocol", "type")} == GOOD
        assert set(console) == {"protocol", "type", "url"}
        assert [grant.request.subject for grant in await site.store.grants()] == ["portal"]

    @pytest.mark.parametrize(
        ("data", "path"),
        [
            ({}, "remote_console"),
            (GOOD, "protocol"),
            ({"remote_console": None}, "remote_console"),
            ({"remote_console": {"protocol": "vnc"}}, "remote_console.type"),
            ({"remote_console": {**GOOD, "subject": "root"}}, "remote_console.subject"),
            ({"remote_console": {**GOOD, "ttl_seconds": 9}}, "remote_console.ttl_seconds"),
            ({"remote_console": {**GOOD, "type": 7}}, "remote_console.type"),
            ({"remote_console": GOOD, "more": 1}, "more"),
        ],
    )
    async def test_what_breaks_the_schema_is_400(self, app: Application, data: object, path: str) -> None:
        reply = await self.nova(app, data)
        assert (reply.status, reply.code) == (400, "invalid_request")
        assert path in [problem["path"] for problem in reply.json()["problems"]]

    @pytest.mark.parametrize(
        ("data", "server_id", "status", "code"),
        [
            ({**GOOD, "type": "serial"}, "web-1", 400, "unsupported_console"),
            ({"protocol": "rdp", "type": "rdp-html5"}, "web-1", 400, "unsupported_console"),
            ({**GOOD, "type": "xvpvnc"}, "web-1", 501, "console_not_implemented"),
            (GOOD, "web-9", 404, "unknown_server"),
            (GOOD, "off-1", 409, "console_conflict"),
            (GOOD, "late-1", 503, "console_unavailable"),
        ],
    )
    async def test_statuses_are_those_that_nova_documents(
        self, app: Application, data: object, server_id: str, status: int, code: str
    ) -> None:
        reply = await self.nova(app, {"remote_console": data}, server_id)
        assert (reply.status, reply.code) == (status, code)
        assert reply.json()["message"], "where Nova's clients look"

    async def test_a_key_is_held_to_its_subjects(self, app: Application) -> None:
        reply = await self.nova(app, {"remote_console": GOOD}, key=TEAM)
        assert (reply.status, reply.code) == (403, "permit_refused")


class TestDescription:
    async def test_is_the_same_in_both_forms_and_names_the_site_s_pairs(self, app: Application) -> None:
        as_yaml = await ask(app, "GET", "/openapi.yaml")
        as_json = await ask(app, "GET", "/openapi.json")
        assert as_yaml.headers["content-type"] == "application/yaml"
        assert as_json.headers["content-type"] == "application/json"
        assert yaml.safe_load(as_yaml.body) == as_json.json()
        assert "serial/serial" in as_json.body.decode()

    async def test_the_schema_is_the_kit_s(self, app: Application, site: Site) -> None:
        reply = await ask(app, "GET", "/schema")
        assert reply.headers["content-type"] == "application/schema+json"
        assert reply.json() == site.kit.schema.document()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_800_000_000.2507, "2027-01-15T08:00:00.250Z")],
)
def test_instants_are_rfc_3339_in_utc(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text
