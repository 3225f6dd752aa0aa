"""The stand-in for the API server, real machines behind it, and the account's files."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import machine
import pytest
import trustme
from consolekit_kubevirt import KubeVirtProvider
from virtapi import Instance, VirtApi, serving

TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"  # noqa: S105 - nobody's


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a pod has mounted: the cluster's CA and the account's token."""

    ca_file: Path
    token_file: Path


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The cluster's CA."""
    return trustme.CA()


@pytest.fixture
def account(tmp_path: Path, authority: trustme.CA) -> Account:
    """What a pod has mounted."""
    ca_file, token_file = tmp_path / "ca.crt", tmp_path / "token"
    authority.cert_pem.write_to_path(ca_file)
    token_file.write_text(TOKEN)
    return Account(ca_file=ca_file, token_file=token_file)


@pytest.fixture
async def api(authority: trustme.CA) -> AsyncIterator[VirtApi]:
    """The API server, with one machine that runs."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    state = VirtApi(accounts={TOKEN: "system:serviceaccount:consoles:gateway"})
    state.instances["shop", "web-1"] = Instance()
    async with serving(state, tls):
        yield state


@pytest.fixture
def provider(api: VirtApi, account: Account) -> KubeVirtProvider:
    """The provider, set to it."""
    return KubeVirtProvider(
        server=f"https://127.0.0.1:{api.port}", ca_file=account.ca_file, token_file=account.token_file
    )


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="kv", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
async def web_1(api: VirtApi, short_path: Path) -> AsyncIterator[machine.Machine]:
    """The machine of ``shop:web-1``, a real QEMU."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        reason = "qemu-system-x86_64 is not installed"
        pytest.fail(reason) if os.environ.get("CONSOLEKIT_REQUIRE_ALL") else pytest.skip(reason)
    async with machine.running(short_path, qemu) as running:
        api.instances["shop", "web-1"].sockets = {"vnc": running.vnc, "console": running.serial}
        yield running
