"""Real consoles in a real browser, from the API's link to the pixels: QEMU and TigerVNC behind ``serve``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypervisors import certificates, qemu, tigervnc
from playwright.sync_api import Page, expect
from served import serving

pytestmark = [pytest.mark.browser, pytest.mark.external]

CONNECTED = "body[data-state=connected]"
BRIGHT = """() => {
  const canvas = document.querySelector('#screen canvas');
  if (!canvas || !canvas.width) return 0;
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 180) count++;
  return count;
}"""


def until(page: Page, condition: Callable[[int], bool]) -> int:
    """Wait until the number of bright pixels is as wanted; gives it."""
    for _ in range(600):
        count = page.evaluate(BRIGHT)
        if condition(count):
            return int(count)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        page.wait_for_timeout(50)
    raise AssertionError(f"{count} bright pixels")


def server(name: str, address: str, *lines: str) -> str:
    return "\n".join([f"[providers.lab.servers.{name}]", f'address = "{address}"', *lines, ""])


LAB = '[providers.lab]\nuse = "vnc"\n'


@pytest.fixture(params=["none", "password", "x509", "unix"])
def way(request: pytest.FixtureRequest) -> str:
    """How the gateway logs in to QEMU."""
    return str(request.param)


def test_qemu_shows_its_bios_and_escape_opens_the_boot_menu(page: Page, tmp_path: Path, way: str) -> None:
    certs = certificates(tmp_path / "tls")
    options: dict[str, object] = {"screen": True}
    if way in ("password", "x509"):
        options["password"] = "s3cret"
    if way == "x509":
        options["certs"] = certs
    with qemu(unix=way == "unix", **options) as machine:
        lines = ['password = "s3cret"'] if "password" in options else []
        if way == "x509":
            lines.append(f'tls = {{ ca_file = "{certs.ca_file}" }}')
        with serving(tmp_path, LAB + server("bios", machine.address, *lines)) as gateway:
            page.goto(str(gateway.link("bios")["url"]))
            page.wait_for_selector(CONNECTED)
            before = until(page, lambda count: count > 1000)
            page.locator("#screen canvas").click()
            page.keyboard.press("Escape")
            until(page, lambda count: abs(count - before) > 300)


REFUSALS = {
    "certificate_refused": 'password = "s3cret"\ntls = {{ ca_file = "{other}" }}',
    "hostname_mismatch": 'password = "s3cret"\ntls = {{ ca_file = "{ca}", server_name = "elsewhere.test" }}',
    "authentication_rejected": 'password = "wrong"\ntls = {{ ca_file = "{ca}" }}',
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_names_its_own_reason_on_the_page(page: Page, tmp_path: Path, code: str) -> None:
    certs, other = certificates(tmp_path / "tls"), certificates(tmp_path / "other")
    line = REFUSALS[code].format(ca=certs.ca_file, other=other.ca_file)
    with (
        qemu(certs=certs, password="s3cret") as machine,
        serving(tmp_path, LAB + server("bios", machine.address, line)) as gateway,
    ):
        page.goto(str(gateway.link("bios")["url"]))
        page.wait_for_selector("body[data-state=refused]")
        expect(page.locator("body")).to_have_attribute("data-code", code)
        assert "s3cret" not in gateway.log.read_text()


def test_tigervnc_behind_x509vnc(page: Page, tmp_path: Path) -> None:
    certs = certificates(tmp_path / "tls")
    with tigervnc("X509Vnc", password="s3cret", certs=certs) as desktop:
        lines = ['password = "s3cret"', f'tls = {{ pin_sha256 = "{certs.pin_sha256}" }}']
        with serving(tmp_path, LAB + server("desk", desktop.address, *lines)) as gateway:
            page.goto(str(gateway.link("desk")["url"]))
            page.wait_for_selector(CONNECTED)
            assert page.evaluate("document.querySelector('#screen canvas').width") == 320


def test_revoking_the_grant_cuts_the_page_off_for_good(page: Page, tmp_path: Path) -> None:
    with qemu() as machine, serving(tmp_path, LAB + server("bios", machine.address)) as gateway:
        link = gateway.link("bios")
        page.goto(str(link["url"]))
        page.wait_for_selector(CONNECTED)
        assert gateway.call("DELETE", f"/grants/{link['grant_id']}")[0] == 204
        page.wait_for_selector("body[data-state=ended]")
        expect(page.locator("body")).to_have_attribute("data-code", "4000")
        page.reload()
        page.wait_for_selector("body[data-state=refused]")


def test_a_reload_resumes_and_another_browser_does_not(page: Page, phone: Page, tmp_path: Path) -> None:
    with qemu() as machine, serving(tmp_path, LAB + server("bios", machine.address)) as gateway:
        url = str(gateway.link("bios")["url"])
        page.goto(url)
        page.wait_for_selector(CONNECTED)
        page.reload()
        page.wait_for_selector(CONNECTED)
        phone.goto(url)
        phone.wait_for_selector("body[data-state=refused]")
        token = url.partition("token=")[2].partition("&")[0]
        log = gateway.log.read_text()
        assert token
        assert token not in log
        assert "token=" not in page.url
        assert token not in page.evaluate("JSON.stringify([history.state, document.referrer, location.href])")


FROM_THE_GATEWAY = """() => performance.getEntriesByType('resource')
  .filter((entry) => entry.transferSize > 0).map((entry) => new URL(entry.name).pathname)"""


def test_who_has_opened_a_console_before_needs_nothing_but_the_page(page: Page, tmp_path: Path) -> None:
    with qemu() as machine, serving(tmp_path, LAB + server("bios", machine.address)) as gateway:
        loaded = []
        for tab in (page, page.context.new_page()):
            tab.goto(str(gateway.link("bios")["url"]))
            tab.wait_for_selector(CONNECTED)
            loaded.append(tab.evaluate(FROM_THE_GATEWAY))
        assert len(loaded[0]) > 50
        assert loaded[1] == []
