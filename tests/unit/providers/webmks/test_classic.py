from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from consolekit.core.types import Secret
from consolekit.providers.vsphere import CloneInfo
from consolekit.providers.webmks.classic import HTTP_PORT, HTTPS_PORT, connect_info, version_of

SESSION = "cst-VCT-52b4--tp-8D-86"
INFO = CloneInfo(
    host="10.0.0.2",
    fqdn="vc.lab",
    server_guid="c0ffee",
    moid="vm-42",
    name="web 1 & more",
    session_ticket=Secret(SESSION),
    thumbprint_sha1="AB:CD",
    thumbprint_sha256="EF:01",
)


def address(version: str, port: int = HTTPS_PORT) -> tuple[str, dict[str, list[str]]]:
    url = connect_info(INFO, version, port)["url"]
    assert isinstance(url, Secret)
    parts = urlsplit(url.reveal())
    return f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query)


def test_the_seven_fields() -> None:
    info = dict(connect_info(INFO, "5.5", HTTP_PORT))
    info.pop("url")
    assert info == {
        "host": "10.0.0.2",
        "port": 7331,
        "vmId": "vm-42",
        "vmName": "web 1 & more",
        "vcFQDN": "vc.lab",
        "sessionTicket": Secret(SESSION),
        "thumbprint": "AB:CD",
    }


@pytest.mark.parametrize(
    ("port", "page"),
    [(HTTP_PORT, "http://10.0.0.2:7331/console/"), (HTTPS_PORT, "https://10.0.0.2:7343/console/")],
)
def test_the_page_before_6(port: int, page: str) -> None:
    assert address("5.5", port) == (
        page,
        {
            "vmId": ["vm-42"],
            "vmName": ["web 1 & more"],
            "host": ["vc.lab"],
            "sessionTicket": [SESSION],
            "thumbprint": ["AB:CD"],
        },
    )


@pytest.mark.parametrize(
    ("version", "page"),
    [
        ("6.0", "https://10.0.0.2:9443/vsphere-client/webconsole.html"),
        ("6.5", "https://10.0.0.2:9443/vsphere-client/webconsole.html"),
        ("6.7", "https://10.0.0.2/ui/webconsole.html"),
        ("8.0.3.0", "https://10.0.0.2/ui/webconsole.html"),
    ],
)
def test_the_page_since(version: str, page: str) -> None:
    found, query = address(version)
    assert found == page
    assert (query["serverGuid"], query["host"]) == (["c0ffee"], ["vc.lab:443"])


def test_an_ipv6_address_stands_in_brackets() -> None:
    info = connect_info(attrs.evolve(INFO, host="2001:db8::2"), "5.5", HTTPS_PORT)
    assert info["host"] == "2001:db8::2"
    assert str(info["url"].reveal()).startswith("https://[2001:db8::2]:7343/")  # type: ignore[attr-defined]


def test_nothing_secret_in_repr() -> None:
    assert SESSION not in repr(connect_info(INFO, "8.0", HTTPS_PORT))


@pytest.mark.parametrize(
    ("text", "version"),
    [("5.5", (5, 5)), ("8.0.3.0", (8, 0)), ("10.12", (10, 12)), ("", (99, 0)), ("dev", (99, 0))],
)
def test_versions(text: str, version: tuple[int, int]) -> None:
    assert version_of(text) == version
