"""The description and the server are held together: by tables, and by schemathesis."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from apiserver import running_api
from consolesite import VNC, Rack, Site, make_site, session
from exchange import HOST, Reply, exchange, request
from openapi_spec_validator import OpenAPIV31SpecValidator
from tornado.web import Application

from consolekit.api import Callers, KeyEntry, make_api
from consolekit.api.app import ROUTES
from consolekit.api.callers import hash_of, new_key
from consolekit.auth.stored import hash_token, new_token
from consolekit.core.errors import (
    BadUpgrade,
    ConfigError,
    ConnectFailed,
    ConnectTimeout,
    ConsoleConflict,
    ConsoleKitError,
    ConsoleUnavailable,
    LimitReached,
    ListenFailed,
    PluginError,
    TokenRefused,
    UnknownServer,
    UpgradeRequired,
    every_error,
)
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.types import ConsoleRequest, Endpoint, Grant, Transport
from consolekit.http.problems import problem_of_status

#: Examples of each operation; security.md's promise is 1000, which takes minutes.
EXAMPLES = os.environ.get("CONSOLEKIT_SCHEMATHESIS_EXAMPLES", "50")
#: What the API can answer with: not what ends the program or belongs to the proxy alone.
ELSEWHERE = (ConfigError, ListenFailed, PluginError, UpgradeRequired, BadUpgrade, TokenRefused)
REACHING = [
    error
    for error in every_error().values()
    if error is not ConsoleKitError and not issubclass(error, ELSEWHERE)
]
KEY, TEAM, SEER = new_key(), new_key(), new_key()
TOKENS = {name: new_token() for name in ("web-1", "b-1", "unix-1", "d-1")}
GOOD = b'{"protocol": "vnc", "type": "novnc"}'
SERIAL = "protocol=serial&type=serial"
AUTH_TOKENS = "/v2.1/os-console-auth-tokens"
SEES: dict[str, str | None] = {"Authorization": f"Bearer {SEER.reveal()}"}
NOVA = b'{"remote_console": {"protocol": "vnc", "type": "novnc"}}'


class Datacentre(Rack):
    """Knows many servers, so that generated ids meet every answer."""

    async def check(self, request: ConsoleRequest) -> None:
        first = request.server_id[0]
        for letters, fault in (
            ("ABCDEF", UnknownServer("none")),
            ("abc", ConsoleConflict("off")),
            ("def", ConsoleUnavailable("starting")),
            ("g", ConnectFailed("refused")),
            ("h", ConnectTimeout("silent")),
            ("i", LimitReached("per_server", 1)),
            ("j", RuntimeError("a bug of the provider")),
        ):
            if first in letters:
                raise fault

    async def open(self, request: ConsoleRequest) -> Endpoint:
        await self.check(request)
        if request.server_id == "unix-1":
            return Endpoint(transport=Transport.UNIX, path="/run/vnc.sock")
        return await super().open(request)


def grant_of(server_id: str, now: float) -> Grant:
    request = ConsoleRequest(key=VNC, server_id=server_id, subject="tests")
    return Grant(
        id=f"grant-{server_id}", request=request, provider="rack", issued_at=now, expires_at=now + 60,
        session_seconds=60,
    )  # fmt: skip


def rich_site() -> Site:
    site = make_site()
    many = Datacentre()
    site.rack.check = many.check  # type: ignore[method-assign]  # the same rack with more servers
    site.rack.open = many.open  # type: ignore[method-assign]  # likewise
    return site


@pytest.fixture
def site() -> Site:
    return rich_site()


@pytest.fixture
def app(site: Site) -> Application:
    team = KeyEntry(sha256=hash_of(TEAM), servers=("web-*",), subjects=("team-*",))
    seer = KeyEntry(sha256=hash_of(SEER), see_secrets=True)
    callers = Callers({"tests": KeyEntry(sha256=hash_of(KEY)), "team": team, "seer": seer})
    return make_api(site.kit, callers=callers, hosts=[HOST])


@pytest.fixture
async def document(app: Application) -> dict[str, Any]:
    served: dict[str, Any] = (await exchange(app, request("GET", "/openapi.json"))).json()
    return served


class TestDocument:
    async def test_is_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")
        OpenAPIV31SpecValidator(document).validate()

    async def test_names_every_operation_of_the_server_and_no_other(self, document: dict[str, Any]) -> None:
        described = {(path, method) for path, item in document["paths"].items() for method in item}
        served = {
            (path, method)
            for path, handler in ROUTES.items()
            for method in ("get", "post", "put", "patch", "delete")
            if hasattr(handler, f"on_{method}")
        }
        assert described == served

    async def test_asks_for_a_key_where_the_server_does(self, document: dict[str, Any]) -> None:
        for path, item in document["paths"].items():
            for operation in item.values():
                security = operation.get("security", document["security"])
                assert (security == []) is ROUTES[path].public
                assert ("401" in operation["responses"]) is not ROUTES[path].public
                assert ({"token": []} in security) is ROUTES[path].token_header

    async def test_names_the_query_parameters_of_the_server(self, document: dict[str, Any]) -> None:
        for path, item in document["paths"].items():
            named = {
                parameter["name"]
                for operation in item.values()
                for parameter in operation.get("parameters", ())
                if parameter.get("in") == "query"
            }
            assert named == ROUTES[path].query

    async def test_shows_the_console_request_as_the_kit_validates_it(
        self, document: dict[str, Any], site: Site
    ) -> None:
        own = site.kit.schema.document("#/components/schemas/ConsoleRequest")
        shown = document["components"]["schemas"]["ConsoleRequest"]
        assert shown == {key: value for key, value in own.items() if key not in {"$schema", "$id"}}
        serial = {"protocol": "serial", "type": "serial"}
        both = [
            validator_of(site.kit.schema.document()),
            validator_of(
                {"$ref": "#/components/schemas/ConsoleRequest", "components": document["components"]}
            ),
        ]
        for data in ({}, serial, {**serial, "params": {"label": "a"}}, {**serial, "params": {"label": "A"}}):
            assert len({validator.is_valid(data) for validator in both}) == 1

    async def test_every_operation_has_an_id_a_summary_and_a_tag(self, document: dict[str, Any]) -> None:
        operations = [operation for item in document["paths"].values() for operation in item.values()]
        assert len({operation["operationId"] for operation in operations}) == len(operations)
        tags = {tag["name"] for tag in document["tags"]}
        for operation in operations:
            assert operation["summary"]
            assert set(operation["tags"]) <= tags

    async def test_codes_are_all_that_can_reach_a_caller(self, document: dict[str, Any]) -> None:
        codes = document["components"]["schemas"]["Code"]["enum"]
        bare = {problem_of_status(status)["code"] for status in (400, 404, 405, 406, 413, 414, 415, 421, 431)}
        assert len(codes) == len(set(codes))
        assert set(codes) == {error.code for error in REACHING} | bare

    async def test_statuses_are_all_that_can_reach_a_caller(self, document: dict[str, Any]) -> None:
        described = document["paths"]["/servers/{server_id}/console"]["post"]["responses"]
        assert {str(error.status) for error in REACHING} <= set(described)

    async def test_limits_are_those_of_the_server(self, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        assert "64 KiB" in text
        assert "12 KiB" in text


def operation_of(document: Mapping[str, Any], method: str, target: str) -> dict[str, Any]:
    """The operation that a request is for."""
    for path, item in document["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]*", re.escape(path))
        if re.fullmatch(pattern, target.partition("?")[0]):
            found: dict[str, Any] = item[method.lower()]
            return found
    raise AssertionError(f"no path is described for {target}")


def resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in part:
        found: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[unquote(step)]
        part = found
    return part


def check(document: Mapping[str, Any], operation: Mapping[str, Any], reply: Reply) -> None:
    """The response is one of those that are described: status, headers, type and body."""
    assert str(reply.status) in operation["responses"], f"{reply.status} is not described: {reply}"
    response = resolved(document, operation["responses"][str(reply.status)])
    for name, header in response.get("headers", {}).items():
        schema = resolved(document, header)["schema"]
        assert validator_of(schema).is_valid(reply.headers[name.lower()])
    if "content" not in response:
        assert reply.body == b""
        return
    media = reply.headers["content-type"]
    body = yaml.safe_load(reply.body) if media == "application/yaml" else reply.json()
    schema = {**response["content"][media]["schema"], "components": document["components"]}
    assert problems_of(validator_of(schema), body) == []
    if reply.status >= 400:
        assert media == "application/problem+json"
        assert body["status"] == reply.status


BIG = b" " * 70_000
LONG = "a" * 13_000
#: method, target, body, headers (None: without a key), status
EXCHANGES: list[tuple[str, str, bytes | None, dict[str, str | None], int]] = [
    ("POST", "/servers/web-1/console", GOOD, {}, 200),
    ("POST", "/servers/web-1/console", b"{", {}, 400),
    ("POST", "/servers/web-1/console", GOOD, {"Authorization": None}, 401),
    ("POST", "/servers/web-1/console", GOOD, {"Authorization": f"Bearer {TEAM.reveal()}"}, 403),
    ("POST", "/servers/A-1/console", GOOD, {}, 404),
    ("POST", "/servers/a-1/console", GOOD, {}, 409),
    ("POST", "/servers/web-1/console", BIG, {}, 413),
    ("POST", "/servers/web-1/console?" + LONG, GOOD, {}, 414),
    ("POST", "/servers/web-1/console", GOOD, {"Content-Type": "text/plain"}, 415),
    ("POST", "/servers/web-1/console", GOOD, {"Host": "evil.example"}, 421),
    ("POST", "/servers/web-1/console", b"{}", {}, 422),
    ("POST", "/servers/web-1/console", b'{"protocol": "vnc", "type": "webmks"}', {}, 422),
    ("POST", "/servers/i-1/console", GOOD, {}, 429),
    ("POST", "/servers/web-1/console", GOOD, {"X-Long": "a" * 9000}, 431),
    ("POST", "/servers/web-1/console", b'{"protocol": "vnc", "type": "xvpvnc"}', {}, 501),
    ("POST", "/servers/g-1/console", GOOD, {}, 502),
    ("POST", "/servers/d-1/console", GOOD, {}, 503),
    ("POST", "/servers/j-1/console", GOOD, {}, 503),
    ("POST", "/servers/h-1/console", GOOD, {}, 504),
    ("GET", "/servers/web-1/consoles", None, {}, 200),
    ("GET", "/servers/a-1/consoles", None, {}, 200),
    ("GET", "/servers/j-1/consoles", None, {}, 200),
    ("GET", "/servers/web-1/consoles?x=1", None, {}, 400),
    ("GET", "/servers/A-1/consoles", None, {}, 404),
    ("GET", "/servers/-/consoles", None, {}, 422),
    ("GET", "/servers/k-1/consoles", None, {"Authorization": f"Bearer {TEAM.reveal()}"}, 403),
    ("GET", f"/servers/web-1/connect-info?{SERIAL}", None, {}, 200),
    ("GET", f"/servers/web-1/connect-info?{SERIAL}&x=1", None, {}, 400),
    ("GET", f"/servers/web-1/connect-info?{SERIAL}", None, {"Authorization": None}, 401),
    ("GET", f"/servers/k-1/connect-info?{SERIAL}", None, {"Authorization": f"Bearer {TEAM.reveal()}"}, 403),
    ("GET", f"/servers/k-1/connect-info?{SERIAL}", None, {}, 404),
    ("GET", "/servers/a-1/connect-info?protocol=vnc&type=novnc", None, {}, 409),
    ("GET", "/servers/web-1/connect-info?protocol=vnc&type=webmks", None, {}, 404),
    ("GET", "/servers/web-1/connect-info", None, {}, 422),
    ("GET", "/servers/web-1/connect-info?protocol=vnc&type=novnc", None, {}, 501),
    ("DELETE", "/grants/g-1", None, {}, 204),
    ("DELETE", "/grants/g-9", None, {}, 404),
    ("DELETE", "/grants/g-9", None, {"Authorization": "Basic YTpi"}, 401),
    ("GET", "/sessions", None, {}, 200),
    ("GET", "/sessions?server_id=web-1", None, {}, 200),
    ("GET", "/sessions?server_id=", None, {}, 422),
    ("GET", "/sessions?subject=a", None, {}, 400),
    ("DELETE", "/sessions/s-1", None, {}, 204),
    ("DELETE", "/sessions/s-9", None, {}, 404),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA, {}, 200),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA,
     {"Authorization": None, "X-Auth-Token": KEY.reveal()}, 200),
    ("POST", "/v2.1/servers/web-1/remote-consoles", GOOD, {}, 400),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA.replace(b"novnc", b"webmks"), {}, 400),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA, {"Authorization": f"Bearer {TEAM.reveal()}"}, 403),
    ("POST", "/v2.1/servers/A-1/remote-consoles", NOVA, {}, 404),
    ("POST", "/v2.1/servers/a-1/remote-consoles", NOVA, {}, 409),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA.replace(b"novnc", b"xvpvnc"), {}, 501),
    ("POST", "/v2.1/servers/d-1/remote-consoles", NOVA, {}, 503),
    ("POST", "/v2.1/servers/web-1/remote-consoles", NOVA, {"OpenStack-API-Version": "compute 2.100"}, 406),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None, SEES, 200),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None,
     {**SEES, "OpenStack-API-Version": "compute latest"}, 200),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None,
     {**SEES, "X-OpenStack-Nova-API-Version": "2.30"}, 400),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None,
     {**SEES, "OpenStack-API-Version": "compute 3"}, 400),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None,
     {**SEES, "OpenStack-API-Version": "compute 3.1"}, 406),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['web-1'].reveal()}", None, {}, 403),
    ("GET", f"{AUTH_TOKENS}/{new_token().reveal()}", None, SEES, 404),
    ("GET", f"{AUTH_TOKENS}/x", None, SEES, 404),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['b-1'].reveal()}", None, SEES, 409),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['unix-1'].reveal()}", None, SEES, 501),
    ("GET", f"{AUTH_TOKENS}/{TOKENS['d-1'].reveal()}", None, SEES, 503),
    ("GET", "/openapi.yaml", None, {"Authorization": None}, 200),
    ("GET", "/openapi.json", None, {"Authorization": None}, 200),
    ("GET", "/schema", None, {"Authorization": None}, 200),
    ("GET", "/schema?x=1", None, {"Authorization": None}, 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status"),
    EXCHANGES,
    ids=[f"{number}-{method}-{status}" for number, (method, _, _, _, status) in enumerate(EXCHANGES)],
)
async def test_every_answer_is_as_described(
    app: Application,
    site: Site,
    document: dict[str, Any],
    method: str,
    target: str,
    body: bytes | None,
    headers: dict[str, str | None],
    status: int,
) -> None:
    await site.store.keep_sessions("proxy", [session()])
    for server_id, token in TOKENS.items():
        await site.store.put(hash_token(token), grant_of(server_id, site.clock.now()))
    given: dict[str, str | None] = {"Authorization": f"Bearer {KEY.reveal()}", **headers}
    reply = await exchange(app, request(method, target, body, **given))
    assert reply.status == status
    check(document, operation_of(document, method, target), reply)


async def test_every_refusal_that_is_described_is_shown_above(document: dict[str, Any]) -> None:
    """But for 403 of an origin and what each path refuses alike, shown in the unit tests."""
    alike = {"403", "405", "413", "414", "421", "431"}
    shown = {(operation_of(document, method, target)["operationId"], str(status))
             for method, target, _, _, status in EXCHANGES}  # fmt: skip
    create = {status for name, status in shown if name == "createConsole"}
    assert create == set(document["paths"]["/servers/{server_id}/console"]["post"]["responses"]) - {"405"}
    for item in document["paths"].values():
        for operation in item.values():
            name = operation["operationId"]
            for status in set(operation["responses"]) - alike:
                assert (name, status) in shown or status in create, f"{name} {status} is never shown"


async def schemathesis(url: str, *options: str, cwd: Path) -> str:
    """Run schemathesis with every check; its output, or a failure with it.

    What the test's hypervisors do wrong is told as 501 to 504, which is right; a 500 never is.
    """
    (cwd / "schemathesis.toml").write_text(
        '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501", "502", "503", "504"]\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{url}/openapi.json",
        "--checks=all", f"--max-examples={EXAMPLES}", "--continue-on-failure", "--generation-deterministic",
        "--suppress-health-check=all", "--output-truncate=false", *options,
        cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    return text


class TestCase53:
    """Whatever schemathesis makes up: no server error that is not described, no status that is not."""

    @pytest.mark.timeout(1800)
    async def test_case_53_with_a_key(self, tmp_path: Path) -> None:
        async with running_api(rich_site()) as api:
            await api.site.store.keep_sessions("proxy", [session(f"s-{n}", f"g-{n}") for n in range(5)])
            text = await schemathesis(
                f"http://{api.host}", f"-HAuthorization: Bearer {api.key.reveal()}", cwd=tmp_path
            )
        assert "11 / 11" in text or "11 selected" in text, text

    @pytest.mark.timeout(1800)
    async def test_case_53_without_a_key(self, tmp_path: Path) -> None:
        async with running_api(rich_site()) as api:
            await schemathesis(
                f"http://{api.host}", "--exclude-checks=positive_data_acceptance", cwd=tmp_path
            )
            assert await api.site.store.grants() == []

    @pytest.mark.timeout(1800)
    async def test_case_53_where_no_key_is_asked_for(self, tmp_path: Path) -> None:
        async with running_api(rich_site(), anonymous=True) as api:
            await schemathesis(f"http://{api.host}", cwd=tmp_path)
