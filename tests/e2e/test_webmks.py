"""VMware's consoles in a real browser: vCenter's API, a host's doors, QEMU's screen, ``serve``, noVNC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from esxihost import HostCertificate, host_certificate, in_background
from hypervisors import Qemu, qemu
from playwright.sync_api import Page, expect
from served import Served, serving
from vcenter import PASSWORD, USERNAME, Simulator, simulated

from consolekit.testing.authd import AuthdFront
from consolekit.testing.esxi import EsxiFront
from consolekit.testing.tickets import Tickets

pytestmark = [pytest.mark.browser, pytest.mark.external, pytest.mark.timeout(300)]

CFG = "/vmfs/volumes/5f0c/bios/bios.vmx"
CONNECTED = "body[data-state=connected]"
REFUSED = "body[data-state=refused]"
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
        page.wait_for_timeout(50)
    raise AssertionError(f"{count} bright pixels")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    with simulated(tmp_path / "vcenter", vms=1) as simulator:
        yield simulator


@pytest.fixture
def certificate(tmp_path: Path) -> HostCertificate:
    return host_certificate(tmp_path / "esx")


def table(sim: Simulator, **rules: object) -> str:
    """The provider's part of the configuration."""
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in rules.items()
    ]
    return "\n".join(
        [
            "[providers.vmware]",
            'use = "webmks"',
            *lines,
            "[providers.vmware.vcenter]",
            'host = "localhost"',
            f"port = {sim.port}",
            f'username = "{USERNAME}"',
            f'password = "{PASSWORD}"',
            f'tls = {{ ca_file = "{sim.ca_file}" }}',
            "",
        ]
    )


def url_of(gateway: Served, sim: Simulator) -> str:
    return str(gateway.link(sim.machines()[0]["instance_uuid"], "mks/webmks")["url"])


def host_of(
    way: str, stack: ExitStack, sim: Simulator, machine: Qemu, certificate: HostCertificate
) -> EsxiFront | AuthdFront:
    """The host's door, with tickets that lead to it."""
    tickets = Tickets(file=sim.ticket_log)
    pin = {"thumbprints": [["SHA-256", certificate.sha256]]}
    if way.startswith("port 902"):
        second = host_certificate(certificate.ca_file.parent / "second")
        authd = AuthdFront(
            ("127.0.0.1", machine.vnc_port),
            certificate.identity,
            second.identity,
            tickets=tickets,
            cfg_file=CFG,
            whole_rfb=way.endswith("whole"),
        )
        stack.enter_context(in_background(authd))
        sim.forms(mks={"host": "localhost", "port": authd.port, "cfgFile": CFG, **pin})
        return authd
    websocket = way.endswith("before a websocket")
    port = machine.websocket_port if websocket else machine.vnc_port
    esxi = EsxiFront(("127.0.0.1", port), certificate.context, tickets=tickets, websocket=websocket)
    stack.enter_context(in_background(esxi))
    sim.forms(webmks={"url": f"wss://localhost:{esxi.port}/ticket/", **pin})
    return esxi


@pytest.mark.parametrize("way", ["websocket", "websocket before a websocket", "port 902", "port 902, whole"])
def test_the_screen_keys_and_a_reload(
    page: Page, tmp_path: Path, sim: Simulator, certificate: HostCertificate, way: str
) -> None:
    rules = {"ticket": "mks", "allow_sha1": True} if way.startswith("port 902") else {}
    with ExitStack() as stack:
        machine = stack.enter_context(qemu(screen=True, websocket=True))
        host = host_of(way, stack, sim, machine, certificate)
        gateway = stack.enter_context(serving(tmp_path, table(sim, **rules)))
        page.goto(url_of(gateway, sim))
        page.wait_for_selector(CONNECTED)
        before = until(page, lambda count: count > 1000)
        page.locator("#screen canvas").click()
        page.keyboard.press("Escape")
        until(page, lambda count: abs(count - before) > 300)
        assert sim.tickets() == 1
        page.reload()
        page.wait_for_selector(CONNECTED)
        until(page, lambda count: count > 1000)
        assert sim.tickets() == 2
        assert len(host.tickets.taken) == 2
        log = gateway.log.read_text()
        assert not [ticket for ticket in host.tickets.taken if ticket in log]
        assert PASSWORD not in log


@pytest.mark.parametrize("way", ["websocket", "port 902"])
def test_a_wrong_pin_is_refused_and_the_page_says_so(
    page: Page, tmp_path: Path, sim: Simulator, certificate: HostCertificate, way: str
) -> None:
    other = host_certificate(tmp_path / "other")
    rules = {"ticket": "mks", "allow_sha1": True} if way == "port 902" else {}
    with ExitStack() as stack:
        machine = stack.enter_context(qemu())
        host = host_of(way, stack, sim, machine, certificate)
        pin = {"thumbprints": [["SHA-256", other.sha256]]}
        sim.forms(
            webmks={"url": f"wss://localhost:{host.port}/ticket/", **pin},
            mks={"host": "localhost", "port": host.port, "cfgFile": CFG, **pin},
        )
        gateway = stack.enter_context(serving(tmp_path, table(sim, **rules)))
        page.goto(url_of(gateway, sim))
        page.wait_for_selector(REFUSED)
        expect(page.locator("body")).to_have_attribute("data-code", "certificate_refused")
        assert host.tickets.taken == host.tickets.refused == []
        shown = host.lines if isinstance(host, AuthdFront) else host.requests
        assert shown == []


def test_a_host_that_is_lost_comes_back_by_itself(
    page: Page, tmp_path: Path, sim: Simulator, certificate: HostCertificate
) -> None:
    """As after vMotion: nobody touches the page, and it shows the screen again, with a fresh ticket."""
    with ExitStack() as stack:
        machine = stack.enter_context(qemu(screen=True, websocket=True))
        host = host_of("websocket", stack, sim, machine, certificate)
        gateway = stack.enter_context(serving(tmp_path, table(sim)))
        page.goto(url_of(gateway, sim))
        page.wait_for_selector(CONNECTED)
        assert isinstance(host, EsxiFront)
        assert host._listener is not None
        host._listener.get_loop().call_soon_threadsafe(host.drop_viewers)
        page.wait_for_function("() => document.body.dataset.state !== 'connected'")
        page.wait_for_selector(CONNECTED)
        until(page, lambda count: count > 1000)
        assert sim.tickets() == len(host.tickets.taken) == 2


def away(host: EsxiFront | AuthdFront) -> None:
    """The machine leaves its host, which ends the connection in order."""
    assert isinstance(host, EsxiFront)
    assert host._listener is not None
    host._listener.get_loop().call_soon_threadsafe(host.send_away)


def test_a_machine_that_moves_is_followed(
    page: Page, tmp_path: Path, sim: Simulator, certificate: HostCertificate
) -> None:
    """vMotion: the old host closes with 1000; nobody touches the page, and the picture is back."""
    with ExitStack() as stack:
        machine = stack.enter_context(qemu(screen=True, websocket=True))
        host = host_of("websocket", stack, sim, machine, certificate)
        gateway = stack.enter_context(serving(tmp_path, table(sim)))
        page.goto(url_of(gateway, sim))
        page.wait_for_selector(CONNECTED)
        until(page, lambda count: count > 1000)
        away(host)
        page.wait_for_function("() => document.body.dataset.state === 'reconnecting'")
        page.wait_for_selector(CONNECTED)
        until(page, lambda count: count > 1000)
        assert sim.tickets() == len(host.tickets.taken) == 2
        assert '"reason": "server_moved"' in gateway.log.read_text()


def test_a_machine_that_was_powered_off_is_not_asked_for_again(
    page: Page, tmp_path: Path, sim: Simulator, certificate: HostCertificate
) -> None:
    """The host closes in the same way; the page learns why it is not let in again, says so, and stops."""
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    with ExitStack() as stack:
        machine = stack.enter_context(qemu(screen=True, websocket=True))
        host = host_of("websocket", stack, sim, machine, certificate)
        gateway = stack.enter_context(serving(tmp_path, table(sim)))
        page.goto(url_of(gateway, sim))
        page.wait_for_selector(CONNECTED)
        sim.change(vm=sim.machines()[0]["moid"], power="poweredOff")
        away(host)
        page.wait_for_selector(REFUSED)
        expect(page.locator("body")).to_have_attribute("data-code", "server_powered_off")
        expect(page.locator("#card-title")).to_contain_text("powered off")
        expect(page.locator("#again")).to_be_visible()
        assert len(opened) == 2
        assert sim.tickets() == 1
