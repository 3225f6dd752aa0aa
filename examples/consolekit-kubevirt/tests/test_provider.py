"""What the provider says of machines, and what it makes of every answer of the API server."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
import trustme
from conftest import TOKEN, Account
from consolekit_kubevirt import KubeVirtProvider
from consolekit_kubevirt.cluster import Cluster
from virtapi import Instance, VirtApi

from consolekit import ConsoleKey, ConsoleRequest, Mode, Secret, Shared, Transport
from consolekit.core.errors import (
    ConfigError,
    ConsoleKitError,
    ConsoleNotImplemented,
    ConsoleNotSupported,
    ConsoleUnavailable,
    HostUnavailable,
    HypervisorFault,
    HypervisorLoginFailed,
    HypervisorNotTrusted,
    HypervisorPermission,
    HypervisorProtocol,
    HypervisorTimeout,
    HypervisorUnavailable,
    ServerBusy,
    ServerGone,
    ServerPoweredOff,
    UnknownServer,
)

SCREEN, SERIAL = ConsoleKey("vnc", "novnc"), ConsoleKey("serial", "serial")


def wish(server_id: str = "shop:web-1", key: ConsoleKey = SCREEN) -> ConsoleRequest:
    return ConsoleRequest(key=key, server_id=server_id, subject="alice")


@pytest.mark.parametrize(("key", "subresource"), [(SCREEN, "vnc"), (SERIAL, "console")])
async def test_it_says_where_the_console_is(
    provider: KubeVirtProvider, api: VirtApi, account: Account, key: ConsoleKey, subresource: str
) -> None:
    endpoint = await provider.open(wish(key=key))
    assert (endpoint.transport, endpoint.host, endpoint.port) == (Transport.WSS, "127.0.0.1", api.port)
    assert endpoint.path == (
        f"/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/web-1/{subresource}"
    )
    assert endpoint.subprotocols == ("plain.kubevirt.io",)
    assert endpoint.tls.ca_file == account.ca_file
    assert [(name, value.reveal()) for name, value in endpoint.headers] == [
        ("Authorization", f"Bearer {TOKEN}")
    ]
    assert endpoint.exclusive
    assert TOKEN not in repr(endpoint)


async def test_the_token_is_read_again_every_time(
    provider: KubeVirtProvider, api: VirtApi, account: Account
) -> None:
    await provider.check(wish())
    api.accounts = {"rotated": "system:serviceaccount:consoles:gateway"}
    with pytest.raises(HypervisorLoginFailed):
        await provider.check(wish())
    account.token_file.write_text("rotated\n")
    endpoint = await provider.open(wish())
    assert endpoint.headers[0][1].reveal() == "Bearer rotated"


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        ("", ServerBusy),
        ("Pending", ServerBusy),
        ("Scheduling", ServerBusy),
        ("Scheduled", ServerBusy),
        ("WaitingForSync", ServerBusy),
        ("Succeeded", ServerPoweredOff),
        ("Failed", ServerPoweredOff),
        ("Unknown", HostUnavailable),
    ],
)
async def test_a_machine_that_does_not_run_has_no_console(
    provider: KubeVirtProvider, api: VirtApi, phase: str, error: type[ConsoleKitError]
) -> None:
    api.instances["shop", "web-1"].phase = phase
    for call in (provider.check, provider.open):
        with pytest.raises(error):
            await call(wish())
    assert all("subresources" not in path for path, _ in api.asked)


@pytest.mark.parametrize(
    ("key", "switch"), [(SCREEN, "autoattachGraphicsDevice"), (SERIAL, "autoattachSerialConsole")]
)
async def test_a_machine_without_the_device_says_so(
    provider: KubeVirtProvider, api: VirtApi, key: ConsoleKey, switch: str
) -> None:
    api.instances["shop", "web-1"] = Instance(devices={switch: False})
    with pytest.raises(ConsoleNotSupported):
        await provider.check(wish(key=key))
    (other,) = {SCREEN, SERIAL} - {key}
    await provider.check(wish(key=other))


@pytest.mark.parametrize(
    "server_id", ["shop:nobody", "other:web-1", "web-1", "shop/web-1", "Shop:web-1", "a:b:c", ":b"]
)
async def test_a_server_that_is_not_there_is_unknown(provider: KubeVirtProvider, server_id: str) -> None:
    with pytest.raises(UnknownServer):
        await provider.check(wish(server_id))


async def test_a_name_never_becomes_another_path(provider: KubeVirtProvider, api: VirtApi) -> None:
    for server_id in (
        "shop:..",
        "..:web-1",
        "shop:web-1/vnc",
        "shop:web-1?watch=1",
        "shop:%2e%2e",
        "shop:web-1\n",
    ):
        with pytest.raises(UnknownServer):
            await provider.check(wish(server_id))
    assert api.asked == []


async def test_a_machine_without_an_instance_is_powered_off(provider: KubeVirtProvider, api: VirtApi) -> None:
    api.machines.add(("shop", "db-1"))
    with pytest.raises(ServerPoweredOff):
        await provider.check(wish("shop:db-1"))
    api.denied.add("virtualmachines")
    with pytest.raises(UnknownServer):
        await provider.check(wish("shop:db-1"))


async def test_an_account_that_may_not_read_says_so(provider: KubeVirtProvider, api: VirtApi) -> None:
    api.denied.add("virtualmachineinstances")
    with pytest.raises(HypervisorPermission):
        await provider.check(wish())


STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (404, b"404 page not found\n", HypervisorProtocol),
        (404, json.dumps({**STATUS, "details": {}}).encode(), HypervisorFault),
        (500, json.dumps(STATUS).encode(), HypervisorFault),
        (503, b"service unavailable", HypervisorUnavailable),
        (429, b"Too many requests", HypervisorUnavailable),
        (302, b"", HypervisorProtocol),
        (200, b"<html>Sign in</html>", HypervisorProtocol),
        (200, b"[]", HypervisorProtocol),
        (200, b"[" * 100_000, HypervisorProtocol),
        (200, b'{"kind": "VirtualMachineInstance"}', ServerBusy),
        (200, b'{"kind": "VirtualMachineInstance", "spec": [], "status": "Running"}', ServerBusy),
        (200, b'{"kind": "' + b"x" * 3_000_000 + b'"}', HypervisorProtocol),
    ],
    ids=lambda value: value[:24].decode() if isinstance(value, bytes) else None,
)
async def test_every_answer_has_an_error_of_its_own(
    provider: KubeVirtProvider, api: VirtApi, code: int, body: bytes, error: type[ConsoleKitError]
) -> None:
    api.instead = (code, body)
    with pytest.raises(error) as caught:
        await provider.check(wish())
    assert type(caught.value) is error
    assert TOKEN not in str(caught.value)


async def test_nobody_gets_the_token_without_the_clusters_certificate(
    api: VirtApi, account: Account, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.crt"
    trustme.CA().cert_pem.write_to_path(stranger)
    provider = KubeVirtProvider(
        server=f"https://127.0.0.1:{api.port}", ca_file=stranger, token_file=account.token_file
    )
    with pytest.raises(HypervisorNotTrusted):
        await provider.check(wish())
    assert api.asked == []


async def test_an_api_server_that_is_not_there_is_unavailable(account: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    provider = KubeVirtProvider(
        server=f"https://127.0.0.1:{port}", ca_file=account.ca_file, token_file=account.token_file
    )
    with pytest.raises(HypervisorUnavailable):
        await provider.check(wish())


async def test_an_api_server_that_says_nothing_is_a_timeout(account: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        cluster = Cluster(
            server=f"https://127.0.0.1:{port}",
            ca_file=account.ca_file,
            token_file=account.token_file,
            deadline_seconds=0.05,
        )
        with pytest.raises(HypervisorTimeout):
            await cluster.find("/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances/web-1")


async def test_a_cancelled_question_leaves_nothing(provider: KubeVirtProvider) -> None:
    async with asyncio.TaskGroup() as group:
        question = group.create_task(provider.check(wish()))
        await asyncio.sleep(0)
        question.cancel()
    assert question.cancelled()


@pytest.mark.parametrize("text", ["", "\n", "two words", "line\nline", "\u00e4"])
async def test_a_file_that_holds_no_token_is_said_and_not_quoted(
    provider: KubeVirtProvider, account: Account, text: str
) -> None:
    account.token_file.write_text(text)
    with pytest.raises(HypervisorLoginFailed) as caught:
        await provider.check(wish())
    assert "words" not in str(caught.value)


async def test_missing_files_are_named(provider: KubeVirtProvider, account: Account) -> None:
    account.token_file.unlink()
    with pytest.raises(HypervisorLoginFailed, match="token"):
        await provider.check(wish())
    account.token_file.write_text(TOKEN)
    account.ca_file.unlink()
    with pytest.raises(ConsoleUnavailable, match=r"ca\.crt"):
        await provider.check(wish())


def test_the_defaults_are_those_of_a_pod() -> None:
    KubeVirtProvider.from_config({}, shared=Shared())
    with pytest.raises(ConfigError, match="server"):
        KubeVirtProvider.from_config({"server": "https://k8s.example.org:70000"}, shared=Shared())


async def test_a_prefix_and_an_address_in_brackets_are_kept(account: Account) -> None:
    cluster = Cluster(
        server="https://[::1]:6443/k8s/clusters/c-1/", ca_file=account.ca_file, token_file=account.token_file
    )
    assert (cluster.host, cluster.port, cluster.prefix) == ("::1", 6443, "/k8s/clusters/c-1")
    assert (await cluster.authorization()).reveal() == f"Bearer {TOKEN}"
    assert isinstance(await cluster.authorization(), Secret)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, HypervisorLoginFailed), (403, HypervisorPermission), (404, ServerGone), (400, ServerBusy)],
)
async def test_a_refused_websocket_has_a_meaning(
    provider: KubeVirtProvider, status: int, error: type[ConsoleKitError]
) -> None:
    assert type(provider.refused(await provider.open(wish()), status)) is error
    assert provider.refused(await provider.open(wish()), 500) is None


async def test_nobody_else_is_told_of_a_console_that_wants_our_token(provider: KubeVirtProvider) -> None:
    with pytest.raises(ConsoleNotImplemented):
        provider.named(await provider.open(wish()))


async def test_looking_lets_no_key_through(provider: KubeVirtProvider) -> None:
    line = provider.viewer_filter(await provider.open(wish(key=SERIAL)), Mode.VIEW)
    assert (line.feed(b"reboot\n"), line.inputs) == (b"", 7)
    line = provider.viewer_filter(await provider.open(wish(key=SERIAL)), Mode.INTERACT)
    assert (line.feed(b"ls\n"), line.inputs) == (b"ls\n", 3)
    key_press = b"RFB 003.008\n" + b"\x01\x01" + b"\x04\x01\x00\x00\x00\x00\x00\x41"
    screen = provider.viewer_filter(await provider.open(wish()), Mode.VIEW)
    assert b"A" not in screen.feed(key_press)
