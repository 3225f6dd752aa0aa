"""testing.endpointrules: what can be connected to, and what not."""

from __future__ import annotations

import attrs
import pytest

from consolekit import Endpoint, Secret, TlsPolicy, Transport
from consolekit.testing.endpointrules import faults_of

TCP = Endpoint(host="192.0.2.1", port=5900)
UNIX = Endpoint(transport=Transport.UNIX, path="/run/vm.sock")
WSS = Endpoint(
    transport=Transport.WSS,
    host="esx.example.org",
    port=443,
    path="/ticket/{secret}?x=1",
    headers=(("Authorization", Secret("Bearer a.b")),),
    subprotocols=("binary",),
    secret=Secret("cst-52"),
    allowed_networks=("192.0.2.0/24", "fe80::/10"),
    tls=TlsPolicy(pin_sha256="AB:" * 31 + "cd"),
)


@pytest.mark.parametrize(
    "good",
    [
        TCP,
        UNIX,
        WSS,
        attrs.evolve(TCP, host="fe80::1%eth0"),
        attrs.evolve(WSS, path="", transport=Transport.WS),
    ],
    ids=lambda endpoint: endpoint.transport.value,
)
def test_what_can_be_connected_to(good):
    assert faults_of(good) == []


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (TCP, {"host": ""}, "host"),
        (TCP, {"host": "https://a"}, "host"),
        (TCP, {"host": "[::1]"}, "host"),
        (TCP, {"host": "a b"}, "host"),
        (TCP, {"host": None}, "host"),
        (TCP, {"port": 0}, "port"),
        (TCP, {"port": 65536}, "port"),
        (TCP, {"port": "5900"}, "port"),
        (TCP, {"port": True}, "port"),
        (TCP, {"transport": "tcp"}, "transport"),
        (TCP, {"secret": "text"}, "secret is no Secret"),
        (TCP, {"allowed_networks": ("192.0.2.1/24",)}, "allowed_networks"),
        (TCP, {"tls": TlsPolicy(pin_sha256="ab")}, "tls.pin_sha256 must be 64"),
        (TCP, {"tls": TlsPolicy(client_key="key.pem")}, "tls.client_key"),
        (UNIX, {"path": "vm.sock"}, "absolute"),
        (UNIX, {"path": "/run/../etc"}, "absolute"),
        (UNIX, {"path": "/" + "x" * 107}, "at most 107"),
        (WSS, {"path": "ticket"}, "path of a websocket"),
        (WSS, {"path": "/a b"}, "path of a websocket"),
        (WSS, {"path": "/ü"}, "path of a websocket"),
        (WSS, {"path": "/a#b"}, "path of a websocket"),
        (WSS, {"secret": Secret("a b")}, "path of a websocket"),
        (WSS, {"secret": None}, "there is no secret"),
        (WSS, {"headers": (("a b", Secret("x")),)}, "headers: a name"),
        (WSS, {"headers": (("a", "x"),)}, "no Secret"),
        (WSS, {"headers": (("a", Secret("x\r\ny: z")),)}, "line breaks"),
        (WSS, {"subprotocols": ("a b",)}, "subprotocols"),
    ],
)
def test_what_cannot_says_what_would_be_right(base, changes, said):
    (fault,) = faults_of(attrs.evolve(base, **changes))
    assert said in fault


def test_what_is_no_endpoint_is_said():
    assert faults_of(("192.0.2.1", 5900)) == ["it is a tuple: give an Endpoint"]
