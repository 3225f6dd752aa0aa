"""One process that serves: what listens, under which names, and how it ends."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
import urllib.error
import urllib.request

import attrs
import pytest
import trustme
import websockets.asyncio.client
from gateway import CALLER, PipeProvider, echo, registry_of, target
from served import call

from consolekit import ConsoleKit
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import StoredTokens
from consolekit.cli.server import Server
from consolekit.config.model import AdminConfig, ApiConfig, ApiKey, Config, ProxyConfig
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError, ListenFailed
from consolekit.core.types import Endpoint, SystemClock

ANYWHERE = Address("127.0.0.1", 0)
CONFIG = Config(
    proxy=ProxyConfig(listen=ANYWHERE),
    api=ApiConfig(listen=ANYWHERE, authentication="none"),
    admin=AdminConfig(listen=ANYWHERE),
)


def make_kit(endpoint: Endpoint | None = None) -> ConsoleKit:
    clock = SystemClock()
    store = MemoryTokenStore(clock=clock)
    tokens = StoredTokens(store, clock=clock)
    provider = PipeProvider({"demo": endpoint} if endpoint else {})
    return ConsoleKit(
        registry=registry_of(provider), store=store, issuer=tokens, validators=[tokens], clock=clock
    )


async def get(url: str, **headers: str) -> tuple[int, bytes]:
    def fetch() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

    return await asyncio.to_thread(fetch)


async def test_three_listeners_each_with_its_own_pages():
    server = Server(CONFIG, make_kit())
    await server.start()
    try:
        assert (await get(server.proxy_url + "/healthz"))[0] == 200
        assert (await get(server.admin_url + "/readyz"))[0] == 200
        assert b"consolekit_sessions{" in (await get(server.admin_url + "/metrics"))[1]
        assert (await get(server.proxy_url + "/metrics"))[0] == 404
        assert (await get(server.api_url + "/openapi.json"))[0] == 200
        assert (await get(server.proxy_url + "/openapi.json"))[0] == 404
    finally:
        await server.aclose()


async def test_links_carry_the_port_that_the_system_chose():
    async with target(echo) as endpoint:
        server = Server(CONFIG, make_kit(endpoint))
        await server.start()
        try:
            body = {"protocol": "vnc", "type": "novnc"}
            status, answer = await asyncio.to_thread(
                call, "POST", server.api_url + "/servers/demo/console", body
            )
            assert status == 200
            assert str(answer["url"]).startswith(server.proxy_url + "/console/#token=")
        finally:
            await server.aclose()


async def test_only_our_own_names_are_answered():
    server = Server(CONFIG, make_kit())
    await server.start()
    try:
        port = server.proxy_url.rpartition(":")[2]
        for host, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("evil.test", 421)):
            assert (await get(server.proxy_url + "/console/", Host=host))[0] == status
        assert (await get(server.proxy_url + "/healthz", Host="10.0.0.7"))[0] == 200
    finally:
        await server.aclose()


async def test_a_base_url_decides_names_and_prefix():
    proxy = ProxyConfig(
        listen=ANYWHERE,
        base_url="https://consoles.example.org/vm",
        allowed_hosts=("other.example.org",),
    )
    server = Server(attrs.evolve(CONFIG, proxy=proxy), make_kit())
    await server.start()
    try:
        assert server.proxy_url == "https://consoles.example.org/vm"
        port = server._listeners[0].port
        page = f"http://127.0.0.1:{port}/vm/console/"
        for host in ("consoles.example.org", "other.example.org"):
            assert (await get(page, Host=host))[0] == 200
        assert (await get(f"http://127.0.0.1:{port}/console/", Host="consoles.example.org"))[0] == 404
    finally:
        await server.aclose()


async def test_a_console_type_of_its_own_name_is_answered_and_its_page_let_in():
    proxy = ProxyConfig(
        listen=ANYWHERE,
        base_url="https://consoles.example.org",
        base_urls={"webmks": "https://MKS.example.org:8443"},
    )
    server = Server(attrs.evolve(CONFIG, proxy=proxy), make_kit())
    await server.start()
    try:
        port = server._listeners[0].port
        page = f"http://127.0.0.1:{port}/console/"
        for host, status in (("mks.example.org:8443", 200), ("mks.example.org", 421)):
            assert (await get(page, Host=host))[0] == status
        for origin, status in (
            (b"https://mks.example.org:8443", b"401"),
            (b"https://mks.example.org", b"403"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: mks.example.org:8443\r\nOrigin: " + origin + b"\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert (await reader.readline()).split()[1] == status
            writer.close()
            await writer.wait_closed()
    finally:
        await server.aclose()


async def test_keys_are_asked_for_and_none_is_said_aloud(caplog):
    caplog.set_level(logging.INFO, logger="consolekit")
    server = Server(CONFIG, make_kit(), proxy=False)
    await server.start()
    await server.aclose()
    assert "asks for no key" in caplog.text
    api = ApiConfig(listen=ANYWHERE, keys={"portal": ApiKey(sha256="0" * 64)})
    server = Server(attrs.evolve(CONFIG, api=api), make_kit(), proxy=False)
    await server.start()
    try:
        assert (await get(server.api_url + "/sessions"))[0] == 401
    finally:
        await server.aclose()


async def test_two_names_for_one_key_are_a_mistake_in_the_configuration():
    key = ApiKey(sha256="0" * 64)
    api = ApiConfig(listen=ANYWHERE, keys={"one": key, "two": key})
    with pytest.raises(ConfigError, match=r"api\.keys"):
        await Server(attrs.evolve(CONFIG, api=api), make_kit(), proxy=False).start()


async def test_a_taken_port_is_named_and_nothing_stays_open():
    first = Server(CONFIG, make_kit(), proxy=False)
    await first.start()
    try:
        port = int(first.api_url.rpartition(":")[2])
        taken = ApiConfig(listen=Address("127.0.0.1", port), authentication="none")
        with pytest.raises(ListenFailed, match=f"127.0.0.1:{port}"):
            await Server(attrs.evolve(CONFIG, api=taken), make_kit()).start()
    finally:
        await first.aclose()


async def test_tls_is_served_and_wrong_files_are_a_configuration_error(tmp_path):
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    proxy = ProxyConfig(listen=ANYWHERE, cert=cert, key=key)
    server = Server(attrs.evolve(CONFIG, proxy=proxy), make_kit(), api=False)
    await server.start()
    try:
        assert server.proxy_url.startswith("https://")
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        port = int(server.proxy_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: x:{port}\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
    finally:
        await server.aclose()
    wrong = ProxyConfig(listen=ANYWHERE, cert=cert, key=cert)
    with pytest.raises(ConfigError, match="cert"):
        await Server(attrs.evolve(CONFIG, proxy=wrong), make_kit(), api=False).start()


async def test_a_second_stop_cuts_a_drain_short():
    async with target(echo) as endpoint:
        kit = make_kit(endpoint)
        server = Server(CONFIG, kit, api=False)
        await server.start()
        link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
        client = await websockets.asyncio.client.connect(
            server.proxy_url.replace("http", "ws", 1) + "/ws",
            subprotocols=["binary", f"consolekit.token.{link.token.reveal()}"],
            origin=server.proxy_url,
            proxy=None,
        )
        server.stop()
        await server.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(server.aclose(drain_seconds=3600))
            server.stop()
        await client.wait_closed()
        assert client.close_code == 1001


async def figures(server: Server) -> dict[str, float]:
    """Every sample of the admin listener's page, by name and labels."""
    status, page = await get(server.admin_url + "/metrics")
    assert status == 200
    lines = [line.rpartition(" ") for line in page.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_figures_of_the_process_and_of_a_console(tmp_path):
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", not_after=datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    api = attrs.evolve(CONFIG.api, cert=cert, key=key)
    async with target(echo) as endpoint:
        kit = make_kit(endpoint)
        server = Server(attrs.evolve(CONFIG, api=api), kit)
        await server.start()
        try:
            link = await kit.create("demo", {"protocol": "vnc", "type": "novnc"}, caller=CALLER)
            async with websockets.asyncio.client.connect(
                server.proxy_url.replace("http", "ws", 1) + "/ws",
                subprotocols=["binary", f"consolekit.token.{link.token.reveal()}"],
                origin=server.proxy_url,
                proxy=None,
            ) as client:
                await client.send(b"x")
                assert await client.recv() == b"x"
                found = await figures(server)
        finally:
            await server.aclose()
    expiry = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC).timestamp()
    assert found['consolekit_certificate_expiry_timestamp_seconds{listener="api"}'] == expiry
    assert not [name for name in found if 'listener="proxy"' in name], "no certificate, no expiry"
    sockets = [found[f'consolekit_sockets{{kind="{kind}"}}'] for kind in ("listening", "viewer", "server")]
    assert sockets == [3, 1, 1]
    assert found['consolekit_sockets{kind="http"}'] >= 1, "whoever asks for the figures"
    assert found["consolekit_revocations_up"] == 1
    assert 0 < found["process_open_fds"] < found["process_max_fds"]
    pair = 'protocol="vnc",type="novnc"'
    assert found[f"consolekit_connect_seconds_count{{{pair}}}"] == 1
    assert found[f"consolekit_handshake_seconds_count{{{pair}}}"] == 1
    for operation in ("check", "open"):
        name = f'consolekit_provider_seconds_count{{operation="{operation}",provider="lab"}}'
        assert found[name] == 1
    assert found['consolekit_validator_seconds_count{validator="StoredTokens"}'] == 1


async def test_a_report_of_what_lives_in_the_process(caplog):
    caplog.set_level(logging.INFO, "consolekit")
    server = Server(CONFIG, make_kit())
    await server.start()
    try:
        server.report()
    finally:
        await server.aclose()
    tasks = [record.task for record in caplog.records if record.getMessage() == "report: a task"]
    assert {"Sessions._watch", "Sessions._publish"} <= set(tasks)
