"""core.address: what can be written, and what is said of what cannot."""

from __future__ import annotations

import pytest

from consolekit.core.address import Address, is_host, is_port, parse_host, wrong_networks


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:6080", "127.0.0.1", 6080),
        ("[::1]:6080", "::1", 6080),
        ("[0:0::1]:1", "::1", 1),
        ("localhost:0", "localhost", 0),
        (":6080", "0.0.0.0", 6080),
        ("consoles.example.org:65535", "consoles.example.org", 65535),
    ],
)
def test_places_to_listen_at(text: str, host: str, port: int) -> None:
    address = Address.parse_listen(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse_listen(str(address)) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("6080", "the port is missing"),
        ("127.0.0.1", "the port is missing"),
        ("", "the port is missing"),
        ("host:", "the port is a number"),
        ("host:65536", "the port is a number"),
        ("host:-1", "the port is a number"),
        ("host:٦", "the port is a number"),
        ("::1:6080", "an IPv6 address stands in brackets"),
        ("[nonsense]:6080", "no IPv6 address between its brackets"),
        ("http://host:6080", "an IPv6 address stands in brackets"),
        ("a b:6080", "a name or an address and nothing else"),
        ("unix:/run/x.sock", "a unix socket cannot be listened on"),
    ],
)
def test_no_places_to_listen_at(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as failure:
        Address.parse_listen(text)
    assert not text or text not in str(failure.value) or text in ("host:",)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "LOCALHOST:1"])
def test_loopback(text: str) -> None:
    assert Address.parse_listen(text).is_loopback


@pytest.mark.parametrize("text", [":1", "10.0.0.1:1", "[::]:1", "example.org:1", "localhost.example.org:1"])
def test_not_loopback(text: str) -> None:
    assert not Address.parse_listen(text).is_loopback


def test_wildcard() -> None:
    assert Address.parse_listen(":1").is_wildcard
    assert Address.parse_listen("[::]:1").is_wildcard
    assert not Address.parse_listen("127.0.0.1:1").is_wildcard
    assert not Address.parse_listen("example.org:1").is_wildcard


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5:5901", Address("10.0.0.5", 5901)),
        ("kvm-1.example.org:5900", Address("kvm-1.example.org", 5900)),
        ("kvm_1:1", Address("kvm_1", 1)),
        ("localhost:65535", Address("localhost", 65535)),
        ("[::1]:5900", Address("::1", 5900)),
        ("[2001:DB8:0:0::7]:5900", Address("2001:db8::7", 5900)),
        ("[fe80::1%eth0]:5900", Address("fe80::1%eth0", 5900)),
        ("unix:/run/vm/1.sock", Address(path="/run/vm/1.sock")),
        ("unix:/run/vm//1.sock", Address(path="/run/vm/1.sock")),
    ],
)
def test_places_to_connect_to(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":5900",
        "host:0",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:5_9",
        "host:59 00",
        "host:\uff15\uff19\uff10\uff10",
        "host:vnc",
        "::1:5900",
        "2001:db8::7:5900",
        "[::1]",
        "[::1]5900",
        "[]:5900",
        "[host]:5900",
        "[10.0.0.1]:5900",
        "user@host:5900",
        "127.0.0.1@10.0.0.1:5900",
        "http://host:5900",
        "host/path:5900",
        "ho st:5900",
        "host\0:5900",
        "host\n:5900",
        "-host:5900",
        "höst:5900",
        "h" * 255 + ":5900",
        "unix:",
        "unix:run/1.sock",
        "unix:/run/../etc/1.sock",
        "unix:/run/\0.sock",
        "unix:/" + "a" * 107,
        "unix://host/1.sock:5900/..",
    ],
)
def test_no_places_to_connect_to(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(text)
    assert len(text) < 6 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [("kvm-1", 5900, Address("kvm-1", 5900)), ("2001:DB8::7", 1, Address("2001:db8::7", 1))],
)
def test_a_place_in_two_parts(host: str, port: int, address: Address) -> None:
    assert Address.at(host, port) == address


@pytest.mark.parametrize(
    ("host", "port"), [("", 1), ("a b", 1), ("h", 0), ("h", 65536), ("unix", -1), ("a:b", 1)]
)
def test_no_place_in_two_parts(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"is written|holds no"):
        Address.at(host, port)


def test_a_unix_socket_is_on_this_machine() -> None:
    assert Address(path="/run/vm.sock").is_loopback


@pytest.mark.parametrize("text", ["a.example", "esx_1", "10.0.0.1", "::1", "[::1]"])
def test_hosts(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize("text", ["", "a b", "a:80", "[a]", "-a", "a/b", "user@a"])
def test_no_hosts(text: str) -> None:
    assert not is_host(text)


def test_an_ipv6_host_before_a_port_stands_in_brackets() -> None:
    assert parse_host("[::1]") == "::1"
    with pytest.raises(ValueError, match="stands in brackets"):
        parse_host("::1")


@pytest.mark.parametrize(
    ("text", "good"), [("1", True), ("65535", True), ("0", False), ("65536", False), ("+1", False)]
)
def test_ports(text: str, good: bool) -> None:
    assert is_port(text) is good


def test_networks() -> None:
    assert wrong_networks(["10.0.0.0/8", "10.0.0.1/8", "fd00::/8", "10.0.0.1", "all"]) == [1, 4]
