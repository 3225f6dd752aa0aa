"""An endpoint becomes a connected channel: addresses, deadlines, and every certificate that is wrong."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trustme
from gateway import echo, target
from hostile import full_backlog, open_files, until
from parts import missing

from consolekit.core.errors import (
    CertificateRefused,
    ConnectFailed,
    ConnectTimeout,
    ConsoleUnavailable,
    EndpointRefused,
    HandshakeError,
    HostnameMismatch,
)
from consolekit.core.types import Endpoint, TlsPolicy, Transport
from consolekit.net.channels import Channel, TlsChannel, receive, send_all
from consolekit.proxy.connect import connect, secure

SECONDS = 10.0


@pytest.fixture(autouse=True)
async def _no_socket_is_left() -> AsyncIterator[None]:
    asyncio.get_running_loop()
    before = open_files()
    yield
    await until(lambda: open_files() <= before, "the close of every descriptor")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[socket.AddressFamily, tuple[str, int]]]]:
    """What a resolver says of these names; of others it knows nothing."""
    table: dict[str, list[tuple[socket.AddressFamily, tuple[str, int]]]] = {}
    real = socket.getaddrinfo

    def lookup(host, port, *args, **options):
        if host not in table:
            return real(host, port, *args, **options)
        return [(family, socket.SOCK_STREAM, 6, "", where) for family, where in table[host]]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return table


async def echoes(channel: Channel) -> bool:
    try:
        await send_all(channel, b"hello")
        return await receive(channel, 10) == b"hello"
    finally:
        channel.close()


# ---- addresses


async def test_ipv4():
    async with target(echo) as endpoint:
        channel = await connect(endpoint, seconds=SECONDS)
        sock = channel.unwrap_raw()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()
        assert await echoes(channel)


async def test_ipv6():
    try:
        server = await asyncio.start_server(answers, "::1", 0)
    except OSError:
        missing("this machine has no IPv6 loopback address")
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await echoes(await connect(Endpoint(host="::1", port=port), seconds=SECONDS))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await echo(reader, writer)
    finally:
        writer.close()


async def test_a_name_of_the_systems():
    async with target(echo) as endpoint:
        assert await echoes(await connect(Endpoint(host="localhost", port=endpoint.port), seconds=SECONDS))


async def test_a_unix_socket(tmp_path):
    server = await asyncio.start_unix_server(answers, tmp_path / "socket")
    async with server:
        endpoint = Endpoint(transport=Transport.UNIX, path=str(tmp_path / "socket"))
        assert await echoes(await connect(endpoint, seconds=SECONDS))


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(host="127.0.0.1", port=1),
        Endpoint(host="name.invalid", port=1),
        Endpoint(host="", port=1),
        Endpoint(host="x" * 70 + ".invalid", port=1),
        Endpoint(host="127.0.0.1", port=70000),
        Endpoint(host="fe80::1%nowhere", port=1),
        Endpoint(transport=Transport.UNIX, path="/nonexistent"),
        Endpoint(transport=Transport.UNIX, path="/" + "x" * 200),
    ],
    ids=lambda endpoint: endpoint.address[:30],
)
async def test_what_cannot_be_reached_says_where(endpoint):
    with pytest.raises(ConnectFailed) as failure:
        await connect(endpoint, seconds=SECONDS)
    assert endpoint.address in str(failure.value)


async def test_a_filtered_port_is_given_up_in_time():
    with full_backlog() as endpoint, pytest.raises(ConnectTimeout, match=r"0\.2 s"):
        await connect(endpoint, seconds=0.2)


async def test_who_stops_waiting_leaves_no_socket():
    with full_backlog() as endpoint:
        before = open_files()
        waiting = asyncio.get_running_loop().create_task(connect(endpoint, seconds=SECONDS))
        await until(lambda: open_files() > before, "the attempt")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert open_files() == before


async def test_a_dead_first_address_costs_a_moment(names):
    async with target(echo) as good:
        with full_backlog() as dead:
            names["both"] = [
                (socket.AF_INET, (dead.host, dead.port)),
                (socket.AF_INET, (good.host, good.port)),
            ]
            assert await echoes(await connect(Endpoint(host="both", port=good.port), seconds=SECONDS))


async def test_the_first_to_fail_makes_way_at_once_and_the_last_failure_is_told(names):
    names["none"] = [(socket.AF_INET, ("127.0.0.1", 1)), (socket.AF_INET6, ("::1", 1)),
                     (socket.AF_INET, ("127.0.0.2", 1))]  # fmt: skip
    with pytest.raises(ConnectFailed, match="none:1"):
        await connect(Endpoint(host="none", port=1), seconds=SECONDS)


# ---- allowed networks


async def test_only_addresses_in_the_allowed_networks_are_connected_to(names):
    async with target(echo) as endpoint:
        for good in (["127.0.0.0/8"], ["192.0.2.0/24", "127.0.0.1"], ["127.0.0.1/8"], ["::/0", "0.0.0.0/0"]):
            allowed = attrs.evolve(endpoint, allowed_networks=tuple(good))
            assert await echoes(await connect(allowed, seconds=SECONDS))
        for bad in (["192.0.2.0/24"], ["127.0.0.2/32"], ["::/0"], ["::ffff:127.0.0.1/128"]):
            with pytest.raises(EndpointRefused, match="not in the allowed networks"):
                await connect(attrs.evolve(endpoint, allowed_networks=tuple(bad)), seconds=SECONDS)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0", "::ffff:127.0.0.1", "::ffff:7f00:1", "localhost"],
)
async def test_however_the_host_is_written_its_resolved_address_counts(host):
    endpoint = Endpoint(host=host, port=9, allowed_networks=("192.0.2.0/24", "2001:db8::/32"))
    with pytest.raises(EndpointRefused):
        await connect(endpoint, seconds=SECONDS)


async def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_what_it_is():
    async with target(echo) as plain:
        endpoint = Endpoint(host="::ffff:127.0.0.1", port=plain.port, allowed_networks=("127.0.0.0/8",))
        assert await echoes(await connect(endpoint, seconds=SECONDS))


async def test_of_several_addresses_the_others_are_left_out(names):
    async with target(echo) as endpoint:
        names["esx.test"] = [
            (socket.AF_INET, ("192.0.2.1", endpoint.port)),
            (socket.AF_INET, ("127.0.0.1", endpoint.port)),
        ]
        allowed = attrs.evolve(endpoint, host="esx.test", allowed_networks=("127.0.0.0/8",))
        assert await echoes(await connect(allowed, seconds=SECONDS))


async def test_an_allowed_network_that_is_none_allows_nothing():
    endpoint = Endpoint(host="127.0.0.1", port=9, allowed_networks=("127.0.0.0/8", "everything"))
    with pytest.raises(EndpointRefused, match="is none"):
        await connect(endpoint, seconds=SECONDS)


async def test_families_take_turns(names, monkeypatch):
    tried: list[str] = []
    loop = asyncio.get_running_loop()

    async def refuse(sock, address):
        tried.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(loop, "sock_connect", refuse, raising=False)
    six = [(socket.AF_INET6, (f"::{n}", 1)) for n in (1, 2, 3)]
    four = [(socket.AF_INET, (f"127.0.0.{n}", 1)) for n in (1, 2)]
    names["many"] = [*six, *four]
    with pytest.raises(ConnectFailed):
        await connect(Endpoint(host="many", port=1), seconds=SECONDS)
    assert tried == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]


async def test_two_that_connect_in_one_moment_leave_one_socket(names):
    async with target(echo) as first, target(echo) as second:
        names["both"] = [(socket.AF_INET, (one.host, one.port)) for one in (first, second)]
        channels = [await connect(Endpoint(host="both", port=1), seconds=SECONDS) for _ in range(5)]
        for channel in channels:
            assert await echoes(channel)


# ---- certificates


class Authority:
    """A CA, its file, and contexts of servers with its certificates."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.file = folder / f"{id(self)}.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def serves(self, *names: str, **options: object) -> tuple[ssl.SSLContext, str]:
        leaf = self.ca.issue_cert(*names, **options)  # type: ignore[arg-type]  # not_before, not_after
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
        return context, hashlib.sha256(der).hexdigest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"))


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[tuple[int, bytearray]]:
    """A TLS server, and every byte that reached it inside TLS."""
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                heard.extend(data)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


def endpoint_of(port: int, *, host: str = "127.0.0.1", **policy: object) -> Endpoint:
    return Endpoint(transport=Transport.TLS, host=host, port=port, tls=TlsPolicy(**policy))  # type: ignore[arg-type]


async def test_the_right_certificate(authority):
    context, _ = authority.serves("127.0.0.1", "localhost")
    async with tls_server(context) as (port, heard):
        for policy in (
            {"ca_file": authority.file},
            {"ca_data": authority.ca.cert_pem.bytes().decode()},
            {"ca_file": authority.file, "host": "localhost"},
            {"ca_file": authority.file, "server_name": "localhost"},
        ):
            assert await echoes(await connect(endpoint_of(port, **policy), seconds=SECONDS))
        assert heard == b"hello" * 4


PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)
LATER = datetime.datetime(2091, 1, 1, tzinfo=datetime.UTC)

WRONG = {
    "another CA": (("127.0.0.1",), {}, "stranger", {}, CertificateRefused),
    "the system's CAs": (("127.0.0.1",), {}, None, {}, CertificateRefused),
    "another name": (("other.example",), {}, "authority", {}, HostnameMismatch),
    "another address": (("127.0.0.2",), {}, "authority", {}, HostnameMismatch),
    "not the name that is asked for": (
        ("127.0.0.1",), {}, "authority", {"server_name": "other.example"}, HostnameMismatch,
    ),
    "a name for an address": (("localhost",), {}, "authority", {}, HostnameMismatch),
    "expired": (("127.0.0.1",), {"not_before": PAST, "not_after": PAST + datetime.timedelta(1)},
                "authority", {}, CertificateRefused),
    "not yet valid": (("127.0.0.1",), {"not_before": FUTURE, "not_after": LATER}, "authority", {},
                      CertificateRefused),
    "a missing CA file": (("127.0.0.1",), {}, None, {"ca_file": Path("/nonexistent")}, CertificateRefused),
    "a CA file that is none": (("127.0.0.1",), {}, None, {"ca_file": Path(__file__)}, CertificateRefused),
    "a name that is none": (("127.0.0.1",), {}, "authority", {"server_name": ".x"}, HostnameMismatch),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
async def test_case_38_a_wrong_certificate_is_refused_before_a_byte_is_said(
    kind, authority, stranger, request
):
    names, dates, trusted, policy, expected = WRONG[kind]
    context, _ = authority.serves(*names, **dates)
    if trusted is not None:
        policy = {**policy, "ca_file": request.getfixturevalue(trusted).file}
    async with tls_server(context) as (port, heard):
        with pytest.raises(CertificateRefused) as refusal:
            await connect(endpoint_of(port, **policy), seconds=SECONDS)
        assert type(refusal.value) is expected
        assert heard == b""


async def test_case_38_the_pinned_certificate_and_no_other(stranger):
    context, pin = stranger.serves("whatever.example")
    with_colons = ":".join(pin[n : n + 2] for n in range(0, 64, 2)).upper()
    off_by_a_bit = f"{int(pin, 16) ^ 1:064x}"
    async with tls_server(context) as (port, heard):
        for right in (pin, pin.upper(), with_colons):
            assert await echoes(await connect(endpoint_of(port, pin_sha256=right), seconds=SECONDS))
        said = bytes(heard)
        for wrong in (off_by_a_bit, "0" * 64, pin[:-2], pin[:40]):
            with pytest.raises(CertificateRefused, match="pinned"):
                await connect(endpoint_of(port, pin_sha256=wrong), seconds=SECONDS)
        assert heard == said


async def test_case_38_a_sha1_pin_where_there_is_nothing_better(stranger):
    context, better = stranger.serves("whatever.example")
    async with tls_server(context) as (port, heard):
        channel = await connect(endpoint_of(port, pin_sha256=better), seconds=SECONDS)
        assert isinstance(channel, TlsChannel)
        pin = hashlib.sha1(channel.peer_certificate() or b"").hexdigest()
        assert await echoes(channel)
        assert await echoes(await connect(endpoint_of(port, pin_sha1=pin.upper()), seconds=SECONDS))
        said = bytes(heard)
        for wrong in ({"pin_sha1": "0" * 40}, {"pin_sha1": pin, "pin_sha256": "0" * 64}):
            with pytest.raises(CertificateRefused, match="pinned"):
                await connect(endpoint_of(port, **wrong), seconds=SECONDS)
        assert heard == said


async def test_case_38_a_websocket_with_tls_has_its_certificate_checked_here_too(authority, stranger):
    context, _ = authority.serves("127.0.0.1")
    async with tls_server(context) as (port, heard):
        endpoint = attrs.evolve(endpoint_of(port, ca_file=authority.file), transport=Transport.WSS)
        assert await echoes(await connect(endpoint, seconds=SECONDS))
        wrong = attrs.evolve(endpoint, tls=TlsPolicy(ca_file=stranger.file))
        with pytest.raises(CertificateRefused):
            await connect(wrong, seconds=SECONDS)
        assert heard == b"hello"


async def test_case_38_an_old_tls_is_refused(authority):
    context, _ = authority.serves("127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1
    async with tls_server(context) as (port, heard):
        with pytest.raises(HandshakeError):
            await connect(endpoint_of(port, ca_file=authority.file), seconds=SECONDS)
        assert heard == b""


async def test_what_speaks_no_tls_is_told_from_a_wrong_certificate():
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"RFB 003.008\n")
        await reader.read()

    async with target(speak) as endpoint:
        with pytest.raises(HandshakeError):
            await connect(endpoint_of(endpoint.port), seconds=SECONDS)


async def test_a_silent_tls_handshake_is_given_up_in_time():
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        await reader.read()

    async with target(mute) as endpoint:
        with pytest.raises(ConnectTimeout):
            await connect(endpoint_of(endpoint.port), seconds=0.3)


async def test_tls_can_begin_later_on_the_same_socket(authority):
    context, _ = authority.serves("127.0.0.1")
    async with tls_server(context) as (port, _):
        plain = await connect(Endpoint(host="127.0.0.1", port=port), seconds=SECONDS)
        channel = await secure(plain.unwrap_raw(), TlsPolicy(ca_file=authority.file), "127.0.0.1")
        assert isinstance(channel, TlsChannel)
        assert await echoes(channel)


async def test_a_policy_that_cannot_be_used_closes_the_socket_it_was_given():
    ours, theirs = socket.socketpair()
    with pytest.raises(CertificateRefused):
        await secure(ours, TlsPolicy(ca_file=Path("/nonexistent")), "x")
    assert ours.fileno() == -1
    theirs.close()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """All descriptors but none are taken."""
    held = []

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 5, hard))
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    yield
    for one in held:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_case_48_out_of_descriptors_is_our_lack_and_not_the_servers(few_descriptors):
    with pytest.raises(ConsoleUnavailable, match="Too many open files"):
        await connect(Endpoint(host="127.0.0.1", port=1), seconds=SECONDS)
