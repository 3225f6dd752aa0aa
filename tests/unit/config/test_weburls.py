"""config.weburls: what a browser may call us."""

from __future__ import annotations

import pytest

from consolekit.config.weburls import check_base_url, check_host, check_origin


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
