"""Serial lines and SPICE channels of a real QEMU through ``consolekit serve``; Nova's tokens and our own."""

from __future__ import annotations

import json
import re
import secrets
import struct
from pathlib import Path

import pytest
import websockets.sync.client
from hypervisors import qemu
from novastub import NovaStub, nova
from served import SETTINGS, Served, serving
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.external

ADOPT = '[providers.lab]\nuse = "{}"\n[providers.lab.adopt]\nallowed_networks = ["127.0.0.0/8"]\n'
# SpiceLinkHeader and SpiceLinkMess of the main channel, without capabilities
LINK = struct.pack("<4sIII", b"REDQ", 2, 2, 18) + struct.pack("<IBBIII", 0, 1, 0, 0, 0, 18)


def cloud(stub: NovaStub, kind: str) -> str:
    auth = ", ".join(f"{name} = {json.dumps(value)}" for name, value in stub.auth().items())
    return f'[validators.cloud]\nuse = "nova"\n{kind}_provider = "lab"\nauth = {{ {auth} }}\n'


def table(kind: str, address: str) -> str:
    return f'[providers.lab]\nuse = "{kind}"\n[providers.lab.servers.web-1]\naddress = "{address}"\n'


def dial(url: str) -> websockets.sync.client.ClientConnection:
    return websockets.sync.client.connect(url, subprotocols=["binary"], compression=None, proxy=None)


def read_until(viewer: websockets.sync.client.ClientConnection, text: bytes) -> bytes:
    said = b""
    while text not in said:
        said += viewer.recv(timeout=30)
    return said


def address(gateway: Served, token: str, key: str = "") -> str:
    more = f"&resume={key}" if key else ""
    return f"ws{gateway.urls['proxy'].removeprefix('http')}/?token={token}{more}"


def test_a_serial_line_of_our_own_link_both_ways(tmp_path: Path) -> None:
    line = tmp_path / "line.sock"
    options = ("-chardev", f"socket,id=line,path={line},server=on,wait=off", "-mon", "chardev=line")
    with qemu(*options) as machine, serving(tmp_path, table("serial", f"unix:{line}")) as gateway:
        url = str(gateway.link("web-1", "serial/serial")["url"])
        with dial(url) as viewer:
            assert viewer.subprotocol == "binary"
            read_until(viewer, b"(qemu) ")
            viewer.send(b"info name\rinfo uuid\r")
            read_until(viewer, b"00000000-0000-0000-0000-000000000000")
        with pytest.raises(InvalidStatus) as refused, dial(url):
            pass
        assert refused.value.response.status_code == 401, "a link opens once"
        assert machine.process.poll() is None
    assert url.partition("token=")[2] not in (tmp_path / "consolekit.log").read_text()


@pytest.mark.parametrize(
    ("kind", "pair", "page"),
    [("serial", "serial", "/?token="), ("spice", "spice-html5", "/spice_auto.html?token=")],
)
def test_nova_s_form_of_the_api_gives_links_as_nova_s(
    tmp_path: Path, kind: str, pair: str, page: str
) -> None:
    wish = {"protocol": kind, "type": pair}
    with serving(tmp_path, table(kind, "127.0.0.1:10000")) as gateway:
        path = "/v2.1/servers/web-1/remote-consoles"
        status, answer = gateway.call("POST", path, {"remote_console": wish})
        assert status == 200
        console = answer["remote_console"]
        assert isinstance(console, dict)
        assert {name: console[name] for name in wish} == wish
        own = gateway.urls["proxy"] if kind == "spice" else f"ws{gateway.urls['proxy'].removeprefix('http')}"
        assert console["url"].startswith(own + page)


def test_the_firmware_s_text_over_tcp_of_a_nova_link(tmp_path: Path) -> None:
    line = "socket,id=line,host=127.0.0.1,port=0,server=on,wait=off"
    options = ("-S", "-machine", "pc,graphics=off", "-m", "32", "-chardev", line, "-serial", "chardev:line")
    providers = ADOPT.format("serial")
    with nova() as stub, qemu(*options) as machine:
        (place,) = [item["filename"] for item in machine.qmp("query-chardev") if item["label"] == "line"]
        match = re.search(r"127\.0\.0\.1:(\d+)", place)
        assert match, place
        token = stub.add("127.0.0.1", int(match[1]))
        with serving(tmp_path, providers + cloud(stub, "serial")) as gateway:
            with dial(address(gateway, token)) as viewer:
                machine.qmp("cont")
                read_until(viewer, b"SeaBIOS")
            with dial(address(gateway, token)) as viewer:  # as often as Nova says
                viewer.send(b"x")
    assert token not in (tmp_path / "consolekit.log").read_text()


def test_a_spice_viewer_s_channels_are_one_session_s(tmp_path: Path) -> None:
    spice = tmp_path / "spice.sock"
    options = ("-spice", f"unix=on,addr={spice},disable-ticketing=on")
    settings = f"{SETTINGS}[limits]\nper_server = 1\n"
    with (
        qemu(*options, screen=True),
        serving(tmp_path, table("spice", f"unix:{spice}"), settings=settings) as gateway,
    ):
        token = str(gateway.link("web-1", "spice/spice-html5")["url"]).partition("token=")[2]
        key = secrets.token_urlsafe(32)
        with dial(address(gateway, token, key)) as main, dial(address(gateway, token, key)) as display:
            for channel in (main, display):
                channel.send(LINK)
                assert read_until(channel, b"REDQ").startswith(b"REDQ")
            with pytest.raises(InvalidStatus) as refused, dial(address(gateway, token, "a" * 43)):
                pass
            assert refused.value.response.status_code == 401, "another viewer with the same link"
            other = str(gateway.link("web-1", "spice/spice-html5")["url"]).partition("token=")[2]
            with pytest.raises(InvalidStatus) as refused, dial(address(gateway, other, "b" * 43)):
                pass
            assert refused.value.response.status_code == 429, "limits count viewers' consoles"
