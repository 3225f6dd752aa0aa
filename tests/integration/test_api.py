"""The API on a real listener: what only shows with real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from apiserver import ApiServer, running_api
from consolesite import make_site
from exchange import Reply, request

from consolekit.auth.base import AccessContext
from consolekit.core.errors import TokenRefused

GOOD = b'{"protocol": "vnc", "type": "novnc", "subject": "alice"}'
CREATE = "/servers/web-1/console"
MIB = 1024 * 1024


def reset_peak() -> None:
    """The high-water mark begins again (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_kib() -> int:
    """The most memory that this process, server and client, has had since the last reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with running_api(make_site()) as server:
        yield server


async def ask(
    api: ApiServer, method: str, target: str, body: bytes | None = None, **headers: str | None
) -> Reply:
    (reply,) = await api.ask(request(method, target, body, **{"Host": api.host, **api.bearer, **headers}))
    return reply


async def test_a_link_is_made_opened_and_taken_back(api: ApiServer) -> None:
    answer = (await ask(api, "POST", CREATE, GOOD)).json()
    token = parse_qs(urlsplit(answer["url"]).fragment)["token"][0]
    assert (await ask(api, "DELETE", f"/grants/{answer['grant_id']}")).status == 204
    (validator,) = api.site.kit.validators
    with pytest.raises(TokenRefused):
        await validator.validate(type(api.key)(token), AccessContext())


async def test_one_connection_carries_many_requests(api: ApiServer) -> None:
    keep = {"Host": api.host, **api.bearer, "Connection": None}
    one = request("POST", CREATE, GOOD, **keep) + request("GET", "/schema", **keep)
    refused = request("POST", CREATE, b"{", **keep) + request("PUT", CREATE, GOOD, **keep)
    replies = await api.ask((one + refused) * 5 + request("GET", "/schema", Host=api.host))
    assert [reply.status for reply in replies] == [200, 200, 400, 405] * 5 + [200]


async def test_many_at_once(api: ApiServer) -> None:
    replies = await asyncio.gather(*(ask(api, "POST", CREATE, GOOD) for _ in range(100)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json()["grant_id"] for reply in replies}) == 100


async def test_a_refusal_is_read_even_by_a_client_that_sends_its_body_late(api: ApiServer) -> None:
    head = {"Host": api.host, "Content_Length": str(len(GOOD))}
    async with api.connected() as (reader, writer):
        writer.write(request("POST", CREATE, b"", **head))
        await writer.drain()
        for byte in GOOD:
            writer.write(bytes([byte]))
            await writer.drain()
        received = await reader.read()
    assert received.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("host", [None, "evil.example", "localhost:6081", "127.0.0.1", ""])
async def test_case_03_hosts(api: ApiServer, host: str | None) -> None:
    (reply,) = await api.ask(request("GET", "/schema", Host=host))
    assert reply.status in {400, 421}


async def test_case_03_two_hosts_and_absolute_form(api: ApiServer) -> None:
    twice = request("GET", "/schema", Host=api.host).replace(b"Host:", b"Host: evil.example\r\nHost:")
    absolute = request("GET", f"http://{api.host}/schema", Host=api.host)
    for sent in (twice, absolute):
        (reply,) = await api.ask(sent)
        assert reply.status in {400, 421}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_case_06_an_upgrade_with_another_method_is_no_upgrade(api: ApiServer, method: str) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    sent = request(method, "/sessions", b"", **{"Host": api.host, **upgrade})
    reply, last = await api.ask(sent + request("GET", "/schema", Host=api.host))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert last.status == 200


async def test_case_07_a_second_request_after_a_refusal_is_answered_alone(api: ApiServer) -> None:
    refused = request("GET", "/sessions", Host=api.host, Connection="Upgrade", Upgrade="websocket")
    replies = await api.ask(refused + request("GET", "/schema", Host=api.host))
    assert [reply.status for reply in replies] == [401, 200]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"X_Long": "a" * 9 * 1024}, 431),
        ({f"X_{number}": "a" for number in range(200)}, 431),
        ({f"X_{number}": "a" * 7000 for number in range(10)}, 431),
    ],
)
async def test_case_08_headers(api: ApiServer, sent: dict[str, str], status: int) -> None:
    assert (await ask(api, "GET", "/sessions", **sent)).status == status


async def test_case_08_a_long_uri(api: ApiServer) -> None:
    assert (await ask(api, "GET", "/" + "a" * 16 * 1024)).status == 414


class TestCase10:
    async def post(self, api: ApiServer, mebibytes: int, *, chunked: bool = False) -> bytes:
        """POST so many mebibytes, whatever the server says meanwhile; what it said."""
        length = None if chunked else str(mebibytes * MIB)
        coding = {"Transfer_Encoding": "chunked"} if chunked else {}
        piece = b" " * 65536
        sent = b"10000\r\n" + piece + b"\r\n" if chunked else piece
        headers = {"Host": api.host, **api.bearer, "Content_Length": length, **coding}
        async with api.connected() as (reader, writer):
            writer.write(request("POST", CREATE, b"", **headers))
            for _ in range(mebibytes * 16):
                writer.write(sent)
                await writer.drain()
            if chunked:
                writer.write(b"0\r\n\r\n")
            return await reader.read()

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_case_10_101_mib_are_refused_and_kept_nowhere(self, api: ApiServer, chunked: bool) -> None:
        await self.post(api, 2, chunked=chunked)  # what every first request costs
        reset_peak()
        before = peak_kib()
        received = await self.post(api, 101, chunked=chunked)
        grown = peak_kib() - before
        assert received.startswith(b"HTTP/1.1 413 ")
        assert received.count(b"HTTP/1.1 ") == 1
        assert grown <= 1024, f"{grown} KiB"

    async def test_case_10_more_than_is_worth_reading_is_not_read(self, api: ApiServer) -> None:
        headers = {"Host": api.host, "Content_Length": str(10**12)}
        (reply,) = await api.ask(request("POST", CREATE, b" " * 1000, **headers))
        assert (reply.status, reply.code) == (413, "content_too_large")

    async def test_case_10_compressed_bodies(self, api: ApiServer) -> None:
        bomb = gzip.compress(b" " * 40 * MIB)
        assert len(bomb) < 65536
        assert (await ask(api, "POST", CREATE, bomb, Content_Encoding="gzip")).status == 415

    async def test_case_10_forms_of_many_parts(self, api: ApiServer) -> None:
        part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        form = {"Content_Type": "multipart/form-data; boundary=x"}
        assert (await ask(api, "POST", CREATE, part * 1000 + b"--x--\r\n", **form)).status == 415
        assert (await ask(api, "POST", CREATE, part * 100_000 + b"--x--\r\n", **form)).status == 413


async def test_case_21_a_page_of_another_site(api: ApiServer) -> None:
    for content_type in ("text/plain", "application/json"):
        cross = {"Origin": "https://evil.example", "Content_Type": content_type, "Authorization": None}
        reply = await ask(api, "POST", CREATE, GOOD, **cross)
        assert (reply.status, reply.code) == (401, "caller_refused")
    reply = await ask(api, "POST", CREATE, GOOD, Content_Type="text/plain")
    assert (reply.status, reply.code) == (415, "unsupported_media_type")
    assert await api.site.store.grants() == []


async def test_case_21_a_page_of_another_site_where_no_key_is_asked_for() -> None:
    async with running_api(make_site(), anonymous=True) as api:
        no_key = {"Authorization": None}
        assert (await ask(api, "POST", CREATE, GOOD, **no_key)).status == 200
        own = {**no_key, "Origin": f"http://{api.host}"}
        assert (await ask(api, "POST", CREATE, GOOD, **own)).status == 200
        for headers, status in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": f"https://{api.host}"}, 403),
            ({"Content_Type": "text/plain"}, 415),
            ({"Host": f"evil.example:{api.listener.port}"}, 421),
        ):
            assert (await ask(api, "POST", CREATE, GOOD, **{**no_key, **headers})).status == status
        assert len(await api.site.store.grants()) == 2


@pytest.mark.parametrize("server_id", ["", "a" * 10240, "..", "%00", "%C3%A9", "%2E%2E%2Fetc"])
async def test_case_52_server_ids(api: ApiServer, server_id: str) -> None:
    reply = await ask(api, "POST", f"/servers/{server_id}/console", GOOD)
    assert (reply.status, reply.code) == (422, "invalid_request")


@pytest.mark.parametrize("ttl", [-1, 0, 10**9, "60", 1.5, True, None])
async def test_case_52_lifetimes(api: ApiServer, ttl: object) -> None:
    body = json.dumps({**json.loads(GOOD), "ttl_seconds": ttl}).encode()
    assert (await ask(api, "POST", CREATE, body)).status == 422


@pytest.mark.parametrize("depth", [33, 100_000])
async def test_deep_json_is_no_way_in(api: ApiServer, depth: int) -> None:
    reply = await ask(api, "POST", CREATE, b"[" * depth)
    assert (reply.status, reply.code) in {(400, "malformed_request"), (413, "content_too_large")}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/schema", 200), ("GET", "/nothing", 404), ("PUT", CREATE, 405), ("DELETE", "/grants/x", 404)],
)
async def test_case_54_headers(api: ApiServer, method: str, target: str, status: int) -> None:
    reply = await ask(api, method, target)
    assert reply.status == status
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "server" not in reply.headers


async def test_neither_keys_nor_tokens_are_logged(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = (await ask(api, "POST", CREATE, GOOD)).json()
    token = parse_qs(urlsplit(answer["url"]).fragment)["token"][0]
    for target in (f"/grants/{token}", f"/sessions/{token}", f"/sessions?server_id={token}", f"/{token}"):
        await ask(api, "DELETE", target)
        await ask(api, "GET", target)
        await ask(api, "GET", target, Authorization=f"Bearer {token}")
    await ask(api, "POST", CREATE, b'{"' + token.encode())
    await ask(api, "POST", CREATE, json.dumps({token: token}).encode())
    assert "caller_refused" in caplog.text
    assert token not in caplog.text
    assert api.key.reveal() not in caplog.text
