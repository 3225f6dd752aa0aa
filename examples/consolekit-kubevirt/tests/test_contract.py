"""The provider under consolekit's own kit: what every provider must keep to, for each of its pairs."""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest
import trustme
from conftest import TOKEN, Account
from consolekit_kubevirt import KubeVirtProvider
from virtapi import Instance, VirtApi, serving

from consolekit import ConsoleKey, ConsoleProvider, Shared
from consolekit.core.errors import (
    ConsoleNotSupported,
    HostUnavailable,
    ServerBusy,
    ServerPoweredOff,
)
from consolekit.testing import ProviderContract, Said


class KubeVirtContract(ProviderContract):
    """One cluster with machines in every state."""

    server_id = "shop:web-1"
    other_server_id = "bank:web-1"
    unknown_server_id = "shop:no-such-machine"
    secrets = (TOKEN,)
    refusals: ClassVar = {
        "shop:starting": ServerBusy,
        "shop:ended": ServerPoweredOff,
        "shop:off": ServerPoweredOff,
        "shop:lost": HostUnavailable,
        "shop:headless": ConsoleNotSupported,
    }
    wrong_config: ClassVar = (
        ({"server": "http://k8s.example.org"}, "server"),
        ({"server": "https://k8s.example.org:70000"}, "server"),
        ({"server": "https://user@k8s.example.org"}, "server"),
        ({"token_file": ""}, "token_file"),
        ({"ca_file": 7}, "ca_file"),
    )

    @pytest.fixture(autouse=True)
    def _cluster(self, authority: trustme.CA, account: Account) -> None:
        self.account = account
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.tls)

    def hypervisor(self) -> AbstractAsyncContextManager[VirtApi]:
        neither = {"autoattachGraphicsDevice": False, "autoattachSerialConsole": False}
        self.api = VirtApi(accounts={TOKEN: "system:serviceaccount:consoles:gateway"})
        self.api.instances = {
            ("shop", "web-1"): Instance(),
            ("bank", "web-1"): Instance(),
            ("shop", "starting"): Instance(phase="Scheduling"),
            ("shop", "ended"): Instance(phase="Succeeded"),
            ("shop", "lost"): Instance(phase="Unknown"),
            ("shop", "headless"): Instance(devices=neither),
        }
        self.api.machines = {("shop", "off")}
        return serving(self.api, self.tls)

    def config(self) -> dict[str, Any]:
        return self._table("127.0.0.1", 6443)

    async def make_provider(self) -> ConsoleProvider:
        return await self.make_provider_at("127.0.0.1", self.api.port)

    async def make_provider_at(self, host: str, port: int) -> ConsoleProvider:
        return KubeVirtProvider.from_config(self._table(host, port), shared=Shared())

    def _table(self, host: str, port: int) -> dict[str, Any]:
        return {
            "server": f"https://{host}:{port}",
            "ca_file": str(self.account.ca_file),
            "token_file": str(self.account.token_file),
        }


class TestScreen(KubeVirtContract):
    """QEMU's RFB, from the version on (RFC 6143, 7.1.1 to 7.5)."""

    key = ConsoleKey("vnc", "novnc")
    viewer_says: ClassVar = (
        Said(b"RFB 003.008\n"),
        Said(b"\x01"),
        Said(b"\x01"),
        Said(b"\x02\x00\x00\x01" + bytes(4)),
        Said(b"\x03\x01" + bytes(8)),
        Said(b"\x04\x01\x00\x00\x00\x00\x00\x41", is_input=True),
        Said(b"\x05\x01\x00\x10\x00\x10", is_input=True),
    )


class TestSerialLine(KubeVirtContract):
    """A line on which everything is input."""

    key = ConsoleKey("serial", "serial")
    viewer_says: ClassVar = (Said(b"root\r", is_input=True), Said(b"\x03", is_input=True))
