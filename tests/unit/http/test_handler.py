"""The base handler, over a socket pair; both HTTP faces are built on it."""

from __future__ import annotations

import json
import logging

import pytest
from exchange import HOST, exchange, exchanges, request
from tornado.web import Application, HTTPError

from consolekit.core.errors import (
    Draining,
    LimitReached,
    StoreUnavailable,
    TokenRefused,
    UnsupportedConsole,
    UpgradeRequired,
)
from consolekit.core.networks import Networks
from consolekit.http.handler import Handler, NotFoundHandler
from consolekit.http.headers import SAFE_HEADERS

CANARY = "C4n4ryC4n4ry"
FAULTS: dict[str, Exception] = {
    "token": TokenRefused(CANARY),
    "limit": LimitReached("per_server", 8),
    "store": StoreUnavailable(CANARY),
    "drain": Draining(CANARY),
    "pair": UnsupportedConsole("vnc/webmks", ["vnc/novnc"]),
    "upgrade": UpgradeRequired(CANARY),
    "tornado": HTTPError(404, CANARY),
    "bug": RuntimeError(CANARY),
}


class Fine(Handler):
    def get(self) -> None:
        self.write("fine")

    def post(self) -> None:
        self.write("posted")


class Probe(Handler):
    any_host = True

    def get(self) -> None:
        self.write("alive")


class Faulty(Handler):
    async def get(self, name: str) -> None:
        self.set_header("X-Half-Done", CANARY)
        self.write(CANARY)
        raise FAULTS[name]


def application() -> Application:
    routes = [(r"/fine", Fine), (r"/probe", Probe), (r"/fault/(\w+)", Faulty)]
    return Application(
        routes, default_handler_class=NotFoundHandler, log_function=lambda _: None, hosts={HOST, "[::1]:6081"}
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET", "/fine"), 200),
        (request("GET", "/probe"), 200),
        (request("PUT", "/fine"), 405),
        (request("BREW", "/fine"), 405),
        (request("GET", "/nothing"), 404),
        (request("POST", "/nothing", b"{}"), 404),
        (request("GET", "/fine", Host="evil.example"), 421),
        (request("GET", "/fault/token"), 401),
        (request("GET", "/fault/limit"), 429),
        (request("GET", "/fault/store"), 503),
        (request("GET", "/fault/bug"), 500),
        (request("GET", "/fine?" + "a" * 16384), 414),
    ],
)
async def test_case_54_every_answer_has_the_safe_headers(sent: bytes, status: int) -> None:
    reply = await exchange(application(), sent)
    assert reply.status == status
    for name, value in SAFE_HEADERS.items():
        assert reply.headers[name.lower()] == value
    assert "server" not in reply.headers
    assert "etag" not in reply.headers or status == 200
    assert {"cache-control", "content-security-policy", "referrer-policy", "x-content-type-options"} <= set(
        reply.headers
    )


class TestHosts:
    @pytest.mark.parametrize("host", [HOST, "LOCALHOST:6081", "[::1]:6081"])
    async def test_ours_are_answered(self, host: str) -> None:
        assert (await exchange(application(), request("GET", "/fine", Host=host))).status == 200

    @pytest.mark.parametrize(
        "host",
        ["localhost", "localhost:80", "evil.example", "localhost:6081.evil.example",
         "localhost:6081:6081", "", "127.0.0.1:6081", "localhost.:6081"],
    )  # fmt: skip
    async def test_case_03_others_are_misdirected(self, host: str) -> None:
        reply = await exchange(application(), request("GET", "/fine", Host=host))
        assert (reply.status, reply.code) == (421, "misdirected_request")

    async def test_a_probe_answers_to_any_name(self) -> None:
        assert (await exchange(application(), request("GET", "/probe", Host="10.0.0.1"))).body == b"alive"

    @pytest.mark.parametrize(
        "sent",
        [
            request("GET", "/fine", Host=None),
            request("GET", "/fine", Host="evil@localhost:6081"),
            request("GET", "/fine", Host=None).replace(b"HTTP/1.1", b"HTTP/1.0"),
            request("GET", "/fine").replace(b"Host:", b"Host: localhost:6081\r\nHost:"),
            request("GET", "http://evil.example/fine"),
            request("GET", f"http://{HOST}/fine"),
            request("GET", "*"),
        ],
    )
    async def test_case_03_no_host_two_hosts_absolute_form(self, sent: bytes) -> None:
        assert (await exchange(application(), sent)).status in {400, 421}


@pytest.mark.parametrize(
    "target", ["//evil/%2F..", "///evil/..", "//evil.example/fine", "/fine/../..", "/%2e%2e/fine", "/\\evil"]
)
async def test_case_05_no_path_leads_elsewhere(target: str) -> None:
    reply = await exchange(application(), request("GET", target))
    assert reply.status in {400, 404}
    assert "location" not in reply.headers


class TestCase08:
    async def test_case_08_a_long_header_line(self) -> None:
        reply = await exchange(application(), request("GET", "/fine", X_Long="a" * 9 * 1024))
        assert (reply.status, reply.code) == (431, "request_header_fields_too_large")

    async def test_case_08_many_headers(self) -> None:
        many = {f"X_{number}": "a" for number in range(200)}
        reply = await exchange(application(), request("GET", "/fine", **many))
        assert (reply.status, reply.code) == (431, "request_header_fields_too_large")

    async def test_case_08_a_long_uri(self) -> None:
        reply = await exchange(application(), request("GET", "/" + "a" * 16 * 1024))
        assert (reply.status, reply.code) == (414, "uri_too_long")


class TestProblems:
    @pytest.mark.parametrize("name", FAULTS)
    async def test_every_refusal_is_a_problem_document_and_nothing_else(self, name: str) -> None:
        reply = await exchange(application(), request("GET", f"/fault/{name}"))
        assert reply.code
        assert CANARY not in str(reply)
        assert "x-half-done" not in reply.headers

    @pytest.mark.parametrize(
        ("name", "header"),
        [
            ("token", ("www-authenticate", "Bearer")),
            ("limit", ("retry-after", "5")),
            ("store", ("retry-after", "5")),
            ("drain", ("retry-after", "5")),
            ("upgrade", ("upgrade", "websocket")),
        ],
    )
    async def test_statuses_bring_the_headers_they_need(self, name: str, header: tuple[str, str]) -> None:
        reply = await exchange(application(), request("GET", f"/fault/{name}"))
        assert reply.headers[header[0]] == header[1]

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
    async def test_405_says_what_is_allowed(self, method: str) -> None:
        reply = await exchange(application(), request(method, "/fine"))
        assert reply.status == 405
        assert reply.headers["allow"] == "GET, POST"

    async def test_what_may_be_told_is_told(self) -> None:
        reply = await exchange(application(), request("GET", "/fault/pair"))
        assert "valid pairs: vnc/novnc" in reply.json()["detail"]


class TestLog:
    async def test_a_bug_is_logged_without_the_request(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        secret = "ckt_" + CANARY[::-1]
        await exchange(application(), request("GET", f"/fault/bug?token={secret}", Authorization=secret))
        (record,) = [record for record in caplog.records if record.exc_info]
        assert record.getMessage() == "unexpected failure in Faulty"
        assert secret not in caplog.text

    @pytest.mark.parametrize(("name", "level"), [("store", logging.WARNING), ("token", logging.INFO)])
    async def test_a_refusal_is_logged_with_its_reason(
        self, caplog: pytest.LogCaptureFixture, name: str, level: int
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await exchange(application(), request("GET", f"/fault/{name}"))
        (record,) = [record for record in caplog.records if record.name == "consolekit.http.handler"]
        assert record.levelno == level
        assert CANARY in record.getMessage()
        assert record.exc_info is None


async def test_case_07_a_second_request_in_the_same_bytes_is_answered_alone() -> None:
    sent = request("PUT", "/fine", b"{}", Connection=None) + request("GET", "/fine")
    first, *rest = await exchanges(application(), sent)
    assert first.status == 405
    assert json.loads(first.body)["code"] == "method_not_allowed"
    assert [reply.body for reply in rest] in ([b"fine"], [])


class TestBehindAProxy:
    """A socket pair's peer has the address 0.0.0.0 here, as tornado names whoever has none."""

    PEER = "0.0.0.0"

    def app(self, *trusted: str) -> tuple[Application, list[str | None]]:
        """An application that trusts these, and the addresses that its log is told."""
        logged: list[str | None] = []
        return Application(
            [(r"/fine", Fine)],
            default_handler_class=NotFoundHandler,
            log_function=lambda handler: logged.append(handler.request.remote_ip),
            hosts={HOST},
            trusted_proxies=Networks.parse(trusted),
        ), logged

    @pytest.mark.parametrize("target", ["/fine", "/nothing"])
    async def test_the_request_has_its_viewers_address(self, target: str) -> None:
        app, logged = self.app(self.PEER, "10.0.0.0/8")
        await exchange(app, request("GET", target, X_Forwarded_For="nonsense, 192.0.2.1, 10.0.0.1"))
        assert logged == ["192.0.2.1"]

    async def test_each_request_of_a_connection_has_its_own(self) -> None:
        app, logged = self.app(self.PEER)
        sent = [
            request("GET", "/fine", Connection=None, X_Forwarded_For="192.0.2.1"),
            request("GET", "/fine", Connection=None, X_Forwarded_For="192.0.2.2"),
            request("GET", "/fine"),
        ]
        assert [reply.status for reply in await exchanges(app, b"".join(sent))] == [200] * 3
        assert logged == ["192.0.2.1", "192.0.2.2", self.PEER]

    @pytest.mark.parametrize("header", ["192.0.2.1", "nonsense", ""])
    async def test_who_is_not_trusted_changes_nothing(self, header: str) -> None:
        for trusted in ([], ["10.0.0.0/8"]):
            app, logged = self.app(*trusted)
            reply = await exchange(app, request("GET", "/fine", X_Forwarded_For=header))
            assert (reply.status, logged) == (200, [self.PEER])

    async def test_a_proxy_that_names_no_address_is_refused(self) -> None:
        app, logged = self.app(self.PEER)
        reply = await exchange(app, request("GET", "/fine", X_Forwarded_For="unknown"))
        assert (reply.status, reply.code, logged) == (400, "bad_request", [self.PEER])

    @pytest.mark.parametrize(
        "header", ["Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Scheme"]
    )
    async def test_no_other_header_is_read(self, header: str) -> None:
        app, logged = self.app(self.PEER)
        reply = await exchange(app, request("GET", "/fine", **{header: "192.0.2.1"}))
        assert (reply.status, logged) == (200, [self.PEER])
