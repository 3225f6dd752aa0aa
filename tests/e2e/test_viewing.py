"""A console for looking only, in a real browser: the picture moves, and what is done there does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from esxihost import in_background
from playwright.sync_api import Page, expect
from served import Served, serving

from consolekit.testing.rfbserver import RfbServer

pytestmark = [pytest.mark.browser, pytest.mark.external]

CONNECTED = "body[data-state=connected]"
FINGERPRINT = """() => {
  const canvas = document.querySelector('#screen canvas');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + 7 * data[i + 1]) % 4294967291;
  return sum;
}"""
MOVED = f"(before) => ({FINGERPRINT})() !== before"
INPUTS = ["#send-cad", "#open-keys", "#open-clipboard", "#toggle-typing"]


@pytest.fixture
def screen() -> Iterator[RfbServer]:
    with in_background(RfbServer()) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, screen: RfbServer) -> Iterator[Served]:
    servers = f'[providers.lab]\nuse = "vnc"\n[providers.lab.servers.demo]\naddress = "{screen.address}"\n'
    with serving(tmp_path, servers) as running:
        yield running


def see_it_move(page: Page, times: int = 3) -> None:
    """Wait until the picture has changed so often."""
    for _ in range(times):
        page.wait_for_function(MOVED, arg=page.evaluate(FINGERPRINT))


def act(page: Page, text: str) -> None:
    """Click on the screen and type."""
    page.locator("#screen canvas").click()
    page.keyboard.type(text)


def test_typing_changes_nothing_and_the_picture_moves(page: Page, site: Served, screen: RfbServer) -> None:
    page.goto(str(site.link("demo", mode="view")["url"]))
    page.wait_for_selector(CONNECTED)
    expect(page.locator("#view-only")).to_be_visible()
    for control in INPUTS:
        expect(page.locator(control)).to_be_hidden()
    act(page, "hello")
    see_it_move(page)
    assert screen.scene.typed == ""
    (session,) = site.call("GET", "/sessions")[1]["sessions"]  # type: ignore[misc]  # plain JSON
    assert session["mode"] == "view"
    page.reload()
    page.wait_for_selector(CONNECTED)
    expect(page.locator("#view-only")).to_be_visible()


def test_who_takes_the_word_out_of_the_link_is_not_heard_either(
    page: Page, site: Served, screen: RfbServer
) -> None:
    url = str(site.link("demo", mode="view")["url"])
    assert url.endswith("&mode=view")
    page.goto(url.removesuffix("&mode=view"))
    page.wait_for_selector(CONNECTED)
    expect(page.locator("#view-only")).to_be_hidden()
    act(page, "hello")
    page.locator("#send-cad").click()
    see_it_move(page)
    expect(page.locator(CONNECTED)).to_be_visible()
    assert screen.scene.typed == ""
    page.locator("#disconnect").click()
    page.goto(str(site.link("demo")["url"]))  # a new fragment: the page starts anew by itself
    page.wait_for_selector(CONNECTED)
    act(page, "hi")
    see_it_move(page)
    assert screen.scene.typed == "hi"


def test_the_log_names_the_mode(page: Page, site: Served) -> None:
    page.goto(str(site.link("demo", mode="view")["url"]))
    page.wait_for_selector(CONNECTED)
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if line.startswith("{")]
    (opened,) = [line for line in lines if line.get("message") == "session opened"]
    assert opened["mode"] == "view"
