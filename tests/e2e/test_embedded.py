"""The examples of embedding, in a real browser: a portal's console draws, and is typed into."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from esxihost import in_background
from parts import missing
from playwright.sync_api import Page, expect
from served import SETTINGS, serving

from consolekit import web
from consolekit.testing.rfbserver import RfbServer

pytestmark = [pytest.mark.browser, pytest.mark.external]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
CONNECTED = "body[data-state=connected]"
COLOURS = """() => {
  const canvas = document.querySelector('#screen canvas');
  if (!canvas || !canvas.width) return 0;
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return seen.size;
}"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def screen() -> Iterator[RfbServer]:
    if not web.status().present:
        missing("noVNC is not there: apt-get install npm, then install consolekit again")
    with in_background(RfbServer()) as server:
        yield server


@contextmanager
def running(name: str, screen: RfbServer) -> Iterator[str]:
    """Run an example's ``serve`` in a loop of its own; the address that it says."""
    example = load(name)
    example.DATABASE["web-1"]["vnc"] = screen.address
    said: list[str] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    def say(text: str) -> None:
        said.append(text.removeprefix("open "))
        ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(example.serve(stop, say))
        finally:
            ready.set()

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        assert ready.wait(30)
        assert said, "the example ended"
        yield said[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def see_and_type(page: Page, screen: RfbServer) -> None:
    """The picture is there, and what is typed arrives."""
    page.wait_for_function(f"() => ({COLOURS})() > 2")
    page.locator("#screen canvas").click()
    page.keyboard.type("hello")
    for _ in range(200):
        if screen.scene.typed == "hello":
            break
        page.wait_for_timeout(25)
    assert screen.scene.typed == "hello"
    if folder := os.environ.get("CONSOLEKIT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{page.title()}.png")


def see_our_page(page: Page, portal: str) -> None:
    """The gateway's own page is under the prefix too, with all that it loads."""
    answer = page.request.post(f"{portal}servers/web-1/console").json()
    token = answer["protocols"][1].removeprefix("consolekit.token.")
    page.goto(f"{portal}consoles/console/#token={token}&server=web-1&protocol=vnc&type=novnc")
    page.wait_for_selector(CONNECTED)
    page.reload()  # the same browser comes back with its resume key
    page.wait_for_selector(CONNECTED)
    page.wait_for_function(f"() => ({COLOURS})() > 2")
    page.goto("about:blank")  # nothing is left to be waited for


def test_a_tornado_portal_with_a_console_in_its_page(page: Page, screen: RfbServer) -> None:
    with running("tornado_app", screen) as url:
        page.goto(url)
        expect(page.locator("#state")).to_have_text("connected")
        see_and_type(page, screen)
        see_our_page(page, url)


def test_a_fastapi_portal_with_a_console_in_its_page(page: Page, screen: RfbServer) -> None:
    with running("fastapi_app", screen) as url:
        page.goto(url)
        expect(page.locator("#state")).to_have_text("connected")
        see_and_type(page, screen)
        see_our_page(page, url)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def django_portal(config: Path) -> Iterator[str]:
    """Run the example as the process that it is; its address."""
    program = [sys.executable, "-W", "error", str(EXAMPLES / "django_portal.py"), str(config)]
    command = ["env", "--default-signal=INT", *program]  # a shell's background job would not hear of it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().removeprefix("open ").strip()
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_a_django_portal_sends_the_browser_to_a_console(
    page: Page, screen: RfbServer, tmp_path: Path
) -> None:
    server = f'[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\naddress = "{screen.address}"\n'
    settings = SETTINGS.replace(
        '[proxy]\nworkers = 0\nlisten = "127.0.0.1:0"',
        f'[proxy]\nworkers = 0\nlisten = "127.0.0.1:{free_port()}"',
    )
    with serving(tmp_path, server, settings=settings), django_portal(tmp_path / "consolekit.toml") as portal:
        page.goto(portal)
        assert page.get_by_text("db-1").count() == 0
        page.get_by_role("button", name="Console").click()
        page.wait_for_selector(CONNECTED)
        see_and_type(page, screen)
        forged = page.request.post(f"{portal}servers/web-1/console")
        assert forged.status == 403
