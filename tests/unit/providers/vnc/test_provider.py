from __future__ import annotations

import os
from pathlib import Path

import pytest
import transcripts as t

from consolekit.core.address import Address
from consolekit.core.errors import (
    ConfigError,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    UnknownServer,
)
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import problems_of, validator_of
from consolekit.core.shared import Shared
from consolekit.core.types import (
    ConsoleKey,
    ConsoleRequest,
    Endpoint,
    Mode,
    Secret,
    TlsPolicy,
    Transport,
)
from consolekit.providers.vnc.provider import NOVNC, VncEndpoint, VncProvider
from consolekit.providers.vnc.servers import VncServer
from consolekit.testing.handshakes import whole


def wish(server_id: str = "web-1") -> ConsoleRequest:
    return ConsoleRequest(key=NOVNC, server_id=server_id, subject="alice")


def provider(**settings: object) -> VncProvider:
    server = VncServer(**{"address": "kvm-1:5901", **settings})  # type: ignore[arg-type]  # by name
    return VncProvider(servers={"web-1": server})


async def test_tcp() -> None:
    endpoint = await provider(password=Secret("s3cret")).open(wish())
    assert endpoint == VncEndpoint(host="kvm-1", port=5901, secret=Secret("s3cret"))
    assert endpoint.address == "kvm-1:5901"
    assert "s3cret" not in repr(endpoint)


async def test_unix() -> None:
    endpoint = await provider(address="unix:/run/1.sock").open(wish())
    assert (endpoint.transport, endpoint.path) == (Transport.UNIX, "/run/1.sock")


async def test_tls() -> None:
    policy = TlsPolicy(server_name="kvm")
    endpoint = await provider(tls=policy).open(wish())
    assert (endpoint.tls, endpoint.tls_required, endpoint.anonymous_tls) == (policy, True, False)


async def test_anonymous_tls() -> None:
    endpoint = await provider(allow_anonymous_tls=True).open(wish())
    assert (endpoint.tls_required, endpoint.anonymous_tls) == (True, True)


async def test_check_knows_and_opens_nothing(tmp_path: Path) -> None:
    known = provider(password_file=tmp_path / "absent")
    await known.check(wish())
    with pytest.raises(UnknownServer):
        await known.check(wish("web-2"))
    with pytest.raises(UnknownServer):
        await known.open(wish("web-2"))


async def test_lookup_of_an_integrator() -> None:
    asked = []

    async def lookup(server_id: str) -> VncServer:
        asked.append(server_id)
        if server_id == "gone":
            raise UnknownServer("gone")
        return VncServer(address=Address("10.0.0.1", 5900))

    own = VncProvider(lookup=lookup)
    await own.check(wish("a"))
    assert (await own.open(wish("b"))).host == "10.0.0.1"
    with pytest.raises(UnknownServer):
        await own.open(wish("gone"))
    assert asked == ["a", "b", "gone"]


async def _never(server_id: str) -> VncServer:
    raise AssertionError(server_id)


def test_one_source_of_servers() -> None:
    with pytest.raises(TypeError):
        VncProvider()
    with pytest.raises(TypeError):
        VncProvider(servers={}, lookup=_never)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s3cret \n", " s3cret "),
        (b"s3cret\n\n", "s3cret\n"),
        ("пароль\n".encode(), "пароль"),
    ],
)
async def test_password_file(tmp_path: Path, content: bytes, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    endpoint = await provider(password_file=path).open(wish())
    assert endpoint.secret == Secret(password)


async def test_a_changed_password_file_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one")
    vnc = provider(password_file=path)
    assert (await vnc.open(wish())).secret == Secret("one")
    path.write_text("two")
    assert (await vnc.open(wish())).secret == Secret("two")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfes3cret", "not UTF-8"),
        (b"s3cret" * 1000, "over 4096"),
    ],
)
async def test_bad_password_file(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConsoleUnavailable, match=fault) as caught:
        await provider(password_file=path).open(wish())
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
async def test_unreadable_password_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(mode=0)
    with pytest.raises(ConsoleUnavailable, match="cannot be read"):
        await provider(password_file=path).open(wish())


async def test_password_file_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConsoleUnavailable, match="cannot be read"):
        await provider(password_file=tmp_path).open(wish())


@pytest.mark.parametrize("name", t.LOGINS)
def test_handshake_follows_the_endpoint(name: str) -> None:
    policy, events = t.LOGINS[name]
    endpoint = VncEndpoint(
        secret=policy.password,
        username=policy.username,
        tls_required=policy.tls_required,
        anonymous_tls=policy.anonymous_tls,
    )
    vnc = VncProvider(servers={})
    whole(lambda: vnc.handshake(endpoint), [*events, *t.viewer()])


@pytest.mark.parametrize("mode", list(Mode))
def test_a_viewer_is_read_from_client_init_on(mode: Mode) -> None:
    vnc = VncProvider(servers={})
    assert mode in vnc.modes
    found = vnc.viewer_filter(VncEndpoint(), mode)
    found.feed(b"\1" + b"\4\1" + bytes(6))
    assert found.inputs == 1


def test_handshake_of_a_plain_endpoint() -> None:
    vnc = VncProvider(servers={})
    policy, events = t.LOGINS["password 3.8"]
    whole(lambda: vnc.handshake(Endpoint(secret=policy.password)), [*events, *t.viewer()])


async def test_from_config() -> None:
    table = {"servers": {"web-1": {"address": "kvm-1:5901", "password": "s3cret"}}}
    assert not problems_of(validator_of(VncProvider.config_schema), table)
    assert (await VncProvider.from_config(table, shared=Shared()).open(wish())).secret == Secret("s3cret")
    with pytest.raises(ConfigError):
        VncProvider.from_config({"servers": {"web-1": {"address": "nowhere"}}}, shared=Shared())


def test_xvpvnc_is_known_and_refused() -> None:
    registry = ProviderRegistry()
    registry.add("lab", VncProvider(servers={}))
    assert registry.pairs() == (ConsoleKey("vnc", "novnc"),)
    with pytest.raises(ConsoleNotImplemented, match="use vnc/novnc"):
        registry.offering(ConsoleKey("vnc", "xvpvnc"))
