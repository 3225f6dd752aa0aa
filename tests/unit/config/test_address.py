"""config.address: what can be written, and what is said of what cannot."""

from __future__ import annotations

import pytest

from consolekit.config.address import Address, check_base_url, check_host, check_origin


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
def test_what_can_be_written(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address)) == address


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
def test_what_cannot_be_written(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as failure:
        Address.parse(text)
    assert not text or text not in str(failure.value) or text in ("host:",)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "LOCALHOST:1"])
def test_loopback(text: str) -> None:
    assert Address.parse(text).is_loopback


@pytest.mark.parametrize("text", [":1", "10.0.0.1:1", "[::]:1", "example.org:1", "localhost.example.org:1"])
def test_not_loopback(text: str) -> None:
    assert not Address.parse(text).is_loopback


def test_wildcard() -> None:
    assert Address.parse(":1").is_wildcard
    assert Address.parse("[::]:1").is_wildcard
    assert not Address.parse("127.0.0.1:1").is_wildcard
    assert not Address.parse("example.org:1").is_wildcard


@pytest.mark.parametrize("text", ["https://a.example", "http://a:8080", "https://[::1]:8443", "http://[::1]"])
def test_origins(text: str) -> None:
    check_origin(text)


@pytest.mark.parametrize(
    "text",
    ["a.example", "https://a/", "https://a/b", "ftp://a", "*", "https://*.a", "https://u@a", "null", ""],
)
def test_no_origins(text: str) -> None:
    with pytest.raises(ValueError, match=r"is |has "):
        check_origin(text)


@pytest.mark.parametrize("text", ["a.example", "a:80", "[::1]", "[::1]:80"])
def test_hosts(text: str) -> None:
    check_host(text)


@pytest.mark.parametrize("text", ["http://a", "a/b", "*", "a:0", "a:x", "", "u@a", "::1"])
def test_no_hosts(text: str) -> None:
    with pytest.raises(ValueError, match=r"is |has |holds "):
        check_host(text)


@pytest.mark.parametrize(
    "text", ["https://a", "http://a:8080", "https://a/consoles", "https://a/x/y/", "https://[::1]:8443"]
)
def test_base_urls(text: str) -> None:
    check_base_url(text)


@pytest.mark.parametrize(
    "text",
    ["a", "//a", "https://", "https://a?x", "https://a#x", "https://u:p@a", "https://a:0", "https://a:99999",
     "https://[x]", "ftp://a", "https://a/b c", "https://a//b"],
)  # fmt: skip
def test_no_base_urls(text: str) -> None:
    with pytest.raises(ValueError, match=r"is |has |holds "):
        check_base_url(text)
