"""SPICE in a real browser: the page of Debian's spice-html5, of a link of Nova's and of our own."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import parts
import pytest
from hypervisors import qemu
from novastub import NovaStub, nova
from playwright.sync_api import Browser, Page, expect
from served import SETTINGS, serving

pytestmark = [pytest.mark.browser, pytest.mark.external]

VIEWER = Path("/usr/share/spice-html5")
BRIGHT = """() => {
  let count = 0;
  for (const canvas of document.querySelectorAll('#spice-screen canvas')) {
    if (!canvas.width) continue;
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 180) count++;
  }
  return count;
}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_viewer() -> str:
    if not (VIEWER / "spice_auto.html").is_file():
        parts.missing("spice-html5 is not there: apt-get install spice-html5")
    return SETTINGS.replace("[api]", f'web_root = "{VIEWER}"\n[api]', 1)


def shows_a_screen(page: Page) -> None:
    for _ in range(600):
        if page.evaluate(BRIGHT) > 500:
            return
        page.wait_for_timeout(50)
    raise AssertionError("no screen is shown")


def cloud(stub: NovaStub) -> str:
    auth = ", ".join(f"{name} = {json.dumps(value)}" for name, value in stub.auth().items())
    return f'[validators.cloud]\nuse = "nova"\nspice_provider = "lab"\nauth = {{ {auth} }}\n'


@pytest.mark.parametrize("whose", ["nova", "ours"])
def test_spice_html5_shows_the_console(browser: Browser, tmp_path: Path, whose: str) -> None:
    settings, port = with_viewer(), free_port()
    providers = f"""[providers.lab]
use = "spice"
[providers.lab.adopt]
[providers.lab.servers.web-1]
address = "127.0.0.1:{port}"
"""
    errors: list[str] = []
    options = ("-spice", f"addr=127.0.0.1,port={port},disable-ticketing=on")
    with (
        nova() as stub,
        qemu(*options, screen=True),
        serving(tmp_path, providers + cloud(stub), settings=settings) as gateway,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text))
        if whose == "nova":
            token = stub.add("127.0.0.1", port)
            url = f"{gateway.urls['proxy']}/spice_auto.html?token={token}"
        else:
            url = str(gateway.link("web-1", "spice/spice-html5")["url"])
            token = url.partition("token=")[2]
        page.goto(url)
        shows_a_screen(page)
        assert context.cookies() == []
        page.reload()
        shows_a_screen(page)
    assert not [text for text in errors if "Content Security" in text]
    assert token not in (tmp_path / "consolekit.log").read_text()


def test_without_that_viewer_our_page_says_so(page: Page, tmp_path: Path) -> None:
    providers = '[providers.lab]\nuse = "spice"\n[providers.lab.servers.web-1]\naddress = "127.0.0.1:1"\n'
    with serving(tmp_path, providers) as gateway:
        page.goto(str(gateway.link("web-1", "spice/spice-html5")["url"]))
        expect(page.locator("body[data-state=refused][data-code=no_viewer]")).to_be_attached()
