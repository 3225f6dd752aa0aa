"""QEMU's own websocket behind the gateway: its screen in a real browser, frames as QEMU made them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from gateway import Gateway, PipeProvider, running
from hypervisors import Certificates, Qemu, certificates, qemu
from playwright.sync_api import Page, expect

from consolekit.core.types import Endpoint, Scope, TlsPolicy, Transport

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
    count = 0
    for _ in range(600):
        count = page.evaluate(BRIGHT)
        if condition(count):
            return count
        page.wait_for_timeout(50)
    raise AssertionError(f"{count} bright pixels")


@attrs.define
class Served:
    """A gateway on a loop of its own, for a test that has none."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def url(self) -> str:
        return str(self.call(self.gateway.link()).url.reveal())


@contextmanager
def served(endpoint: Endpoint) -> Iterator[Served]:
    """Run a gateway in front of one endpoint, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        gateway = running(PipeProvider({"demo": endpoint}))
        entered = asyncio.run_coroutine_threadsafe(gateway.__aenter__(), loop).result(30)
        try:
            yield Served(entered, loop)
        finally:
            asyncio.run_coroutine_threadsafe(gateway.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(params=["wss by CA", "wss by pin", "ws"])
def way(request: pytest.FixtureRequest) -> str:
    """How the gateway reaches QEMU."""
    return str(request.param)


def endpoint_of(machine: Qemu, way: str, certs: Certificates) -> Endpoint:
    policies = {
        "wss by CA": TlsPolicy(ca_file=certs.ca_file),
        "wss by pin": TlsPolicy(pin_sha256=certs.pin_sha256),
        "ws": TlsPolicy(),
    }
    return Endpoint(
        transport=Transport.WS if way == "ws" else Transport.WSS,
        host="127.0.0.1",
        port=machine.websocket_port,
        path="/",
        subprotocols=("binary",),
        tls=policies[way],
    )


def test_the_screen_shows_and_keys_work(page: Page, tmp_path: Path, way: str) -> None:
    certs = certificates(tmp_path / "tls")
    with (
        qemu(screen=True, websocket=True, certs=None if way == "ws" else certs) as machine,
        served(endpoint_of(machine, way, certs)) as gateway,
    ):
        page.goto(gateway.url())
        page.wait_for_selector(CONNECTED)
        before = until(page, lambda count: count > 1000)
        page.locator("#screen canvas").click()
        page.keyboard.press("Escape")
        until(page, lambda count: abs(count - before) > 300)


def test_a_reload_shows_it_again_and_a_revocation_ends_it(page: Page, tmp_path: Path) -> None:
    certs = certificates(tmp_path / "tls")
    with (
        qemu(websocket=True, certs=certs) as machine,
        served(endpoint_of(machine, "wss by CA", certs)) as gateway,
    ):
        page.goto(gateway.url())
        page.wait_for_selector(CONNECTED)
        page.reload()
        page.wait_for_selector(CONNECTED)
        gateway.call(gateway.gateway.kit.revoke_all(Scope.SERVER, "demo"))
        page.wait_for_selector("body[data-state=ended]")
        expect(page.locator("body")).to_have_attribute("data-code", "4000")
        gateway.call(gateway.gateway.until_no_sessions())
        while machine.qmp("query-vnc")["clients"]:  # QEMU notices in its own time
            page.wait_for_timeout(20)


def test_a_wrong_certificate_is_told_on_the_page(page: Page, tmp_path: Path) -> None:
    certs, other = certificates(tmp_path / "tls"), certificates(tmp_path / "other")
    with (
        qemu(websocket=True, certs=certs) as machine,
        served(endpoint_of(machine, "wss by pin", other)) as gateway,
    ):
        page.goto(gateway.url())
        page.wait_for_selector("body[data-state=refused]")
        expect(page.locator("body")).to_have_attribute("data-code", "certificate_refused")


def test_a_machine_that_quits_was_lost_and_is_come_back_to(page: Page, tmp_path: Path) -> None:
    """Its websocket says no word at its end, so the page tries again by itself; the next one answers."""
    certs = certificates(tmp_path / "tls")
    with qemu(websocket=True, certs=certs) as first:
        served_by = endpoint_of(first, "wss by CA", certs)
        with served(served_by) as gateway:
            page.goto(gateway.url())
            page.wait_for_selector(CONNECTED)
            first.process.kill()
            page.wait_for_selector("body[data-state=reconnecting]")
            with qemu(websocket=True, certs=certs) as second:
                provider = gateway.gateway.kit.registry.get("lab")
                assert isinstance(provider, PipeProvider)
                provider.endpoints["demo"] = endpoint_of(second, "wss by CA", certs)
                page.wait_for_selector(CONNECTED)
