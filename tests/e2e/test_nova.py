"""A link as Nova makes it, in a real browser: our page, and the page of an unmodified noVNC of Debian's."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import parts
import pytest
from hypervisors import qemu
from novastub import NovaStub, nova
from playwright.sync_api import Browser, Page, expect
from served import SETTINGS, serving

pytestmark = [pytest.mark.browser, pytest.mark.external]

CONNECTED = "body[data-state=connected]"
LAB = '[providers.lab]\nuse = "vnc"\n[providers.lab.adopt]\nallowed_networks = ["127.0.0.0/8"]\n'
BRIGHT = """() => {
  let count = 0;
  for (const canvas of document.querySelectorAll('#screen canvas, #noVNC_container canvas')) {
    if (!canvas.width) continue;
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 180) count++;
  }
  return count;
}"""
NOVNC = Path("/usr/share/novnc")


def cloud(stub: NovaStub) -> str:
    auth = ", ".join(f"{name} = {json.dumps(value)}" for name, value in stub.auth().items())
    return f'[validators.cloud]\nuse = "nova"\nvnc_provider = "lab"\nauth = {{ {auth} }}\n'


def shows_a_screen(page: Page) -> None:
    for _ in range(600):
        if page.evaluate(BRIGHT) > 500:
            return
        page.wait_for_timeout(50)
    raise AssertionError("no screen is shown")


@contextmanager
def screen_of_nova() -> Iterator[tuple[NovaStub, str]]:
    """A QEMU whose VNC server Nova names, and its token."""
    with nova() as stub, qemu(screen=True) as machine:
        yield stub, stub.add("127.0.0.1", machine.vnc_port)


@pytest.mark.parametrize(
    "link", ["vnc_auto.html?path=%3Ftoken%3D{}", "vnc_lite.html?path=websockify%3Ftoken%3D{}", "?token={}"]
)
def test_our_page_shows_the_console_of_a_nova_link(page: Page, tmp_path: Path, link: str) -> None:
    with screen_of_nova() as (stub, token), serving(tmp_path, LAB + cloud(stub)) as gateway:
        page.goto(f"{gateway.urls['proxy']}/{link.format(token)}")
        expect(page.locator(CONNECTED)).to_be_attached(timeout=30_000)
        shows_a_screen(page)
        assert page.url == f"{gateway.urls['proxy']}/console/"
        assert token not in page.content()
        page.reload()
        expect(page.locator(CONNECTED)).to_be_attached(timeout=30_000)
    log = (tmp_path / "consolekit.log").read_text()
    assert "session opened" in log
    for secret in (token, *stub.every_token):
        assert secret not in log


def test_our_page_says_that_an_old_link_is_over(page: Page, tmp_path: Path) -> None:
    with nova() as stub, serving(tmp_path, LAB + cloud(stub)) as gateway:
        link = "vnc_auto.html?path=%3Ftoken%3D00000000-0000-4000-8000-000000000000"
        page.goto(f"{gateway.urls['proxy']}/{link}")
        expect(page.locator("body[data-state=refused][data-code=token_refused]")).to_be_attached()


@pytest.fixture(scope="module")
def stock_novnc() -> Iterator[Path]:
    """Debian's noVNC as it is: installed, or fetched and unpacked aside."""
    if (NOVNC / "vnc_lite.html").is_file():
        yield NOVNC
        return
    with tempfile.TemporaryDirectory() as folder:
        fetched = shutil.which("apt-get") and shutil.which("dpkg-deb")
        if fetched:
            command = ["apt-get", "-q", "download", "novnc"]
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=50)
            fetched = done.returncode == 0 and next(iter(Path(folder).glob("novnc_*.deb")), None)
        if not fetched:
            parts.missing("Debian's noVNC is not there: apt-get install novnc")
        subprocess.run(["dpkg-deb", "-x", str(fetched), folder], check=True)
        yield Path(folder) / "usr" / "share" / "novnc"


@pytest.mark.parametrize("name", ["vnc_lite.html", "vnc_auto.html"])
def test_stock_novnc_shows_the_console_of_a_nova_link(
    browser: Browser, stock_novnc: Path, tmp_path: Path, name: str
) -> None:
    settings = SETTINGS.replace("[api]", f'web_root = "{stock_novnc}"\n[api]', 1)
    errors: list[str] = []
    with (
        screen_of_nova() as (stub, token),
        serving(tmp_path, LAB + cloud(stub), settings=settings) as gateway,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text))
        extra = "&autoconnect=true" if name == "vnc_auto.html" else ""
        page.goto(f"{gateway.urls['proxy']}/{name}?path=%3Ftoken%3D{token}{extra}")
        shows_a_screen(page)
    assert not [text for text in errors if "Content Security" in text]
    assert token not in (tmp_path / "consolekit.log").read_text()
