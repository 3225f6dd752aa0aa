"""The viewer page in a real browser: its states, reconnect, and what it must not leak."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pageserver import HEIGHT, WIDTH, PageServer, page_server
from playwright.sync_api import Page, expect
from viewerpage import LINK, TOKEN, connect, offer, state

pytestmark = [pytest.mark.browser, pytest.mark.external]

PIXEL = """() => {
  const canvas = document.querySelector('#screen canvas');
  return [...canvas.getContext('2d').getImageData(10, canvas.height >> 1, 1, 1).data];
}"""


def test_shows_the_screen(page: Page, gateway: PageServer) -> None:
    protocols = connect(page, gateway)
    assert protocols[:2] == ["binary", f"consolekit.token.{TOKEN}"]
    assert re.fullmatch(r"consolekit\.resume\.[A-Za-z0-9_-]{43}", protocols[2])
    canvas = page.locator("#screen canvas")
    assert canvas.evaluate("c => [c.width, c.height]") == [WIDTH, HEIGHT]
    page.wait_for_function(f"() => ({PIXEL})()[0] === 60")
    expect(page.locator("#server")).to_have_text("web-1")
    expect(page).to_have_title(re.compile("^web-1 .* Console$"))
    expect(page.locator("#card")).to_be_hidden()


def test_token_is_nowhere_but_in_the_offer(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    assert page.url == gateway.url()
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    assert [entry["url"] for entry in history["entries"]][-1] == gateway.url()
    assert not [uri for uri in gateway.requested if TOKEN in uri]
    assert TOKEN not in page.content()
    assert TOKEN not in page.evaluate("JSON.stringify([history.state, document.cookie])")
    assert TOKEN not in page.evaluate("JSON.stringify({...localStorage})")


def test_a_reload_resumes_and_another_tab_does_not(page: Page, gateway: PageServer) -> None:
    first = connect(page, gateway)
    page.reload()
    state(page, "connected")
    assert offer(gateway) == first
    with page.context.new_page() as other:
        assert connect(other, gateway)[2] != first[2]


def test_a_new_link_in_the_same_tab_is_a_new_console(page: Page, gateway: PageServer) -> None:
    first = connect(page, gateway)
    other = LINK.replace(TOKEN, TOKEN[::-1]).replace("web-1", "db-2")
    page.evaluate("hash => { location.hash = hash; }", other)
    second = offer(gateway)
    state(page, "connected")
    assert second[1].endswith(TOKEN[::-1])
    assert second[2] != first[2]
    expect(page.locator("#server")).to_have_text("db-2")
    assert page.url == gateway.url()
    page.go_back()
    page.reload()
    assert offer(gateway) == first


ENDINGS = {
    1000: "The console has ended",
    1002: "The connection was misused",
    1003: "The connection was misused",
    1007: "The connection was misused",
    1009: "A message was too big",
    4000: "An operator ended this session",
    4001: "The session\u2019s time is over",
    4002: "Closed after a long pause",
    4003: "The connection was too slow",
    4005: "Opened somewhere else",
    4006: "The server\u2019s console did not start",
    4010: "The server let go of this viewer",
    4999: "The console was closed",
}
FINAL = {1002, 1003, 1007, 1009, 4000, 4001, 4002, 4005}


def test_every_close_code_is_told(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    for code, title in ENDINGS.items():
        gateway.close_sockets(code, "said by <b>the gateway</b>")
        state(page, "ended", str(code))
        expect(page.locator("#card-title")).to_have_text(title)
        expect(page.locator("#card-text")).to_contain_text("said by <b>the gateway</b>")
        expect(page.locator("#ghost")).to_be_hidden()
        expect(page.locator("#again")).to_be_visible(visible=code not in FINAL)
        if code in FINAL:
            page.reload()
        else:
            page.click("#again")
        state(page, "connected")


def test_a_break_is_mended_with_the_same_resume_key(page: Page, gateway: PageServer) -> None:
    first = connect(page, gateway)
    for code in (1001, 1006, 1011, 1012, 1013, 4004, 4008):
        gateway.close_sockets(code)
        state(page, "reconnecting")
        expect(page.locator("#ghost")).to_be_visible()
        state(page, "connected")
        expect(page.locator("#ghost")).to_be_hidden()
        assert offer(gateway) == first
        page.reload()  # a new page has a new patience
        state(page, "connected")
        assert offer(gateway) == first


def test_a_gateway_that_restarts_is_waited_for(page: Page, gateway: PageServer) -> None:
    first = connect(page, gateway)
    gateway.refuse_with = 503
    gateway.outcome = (503, {"code": "draining", "title": "Restarting."})
    gateway.close_sockets(1001)
    assert offer(gateway) == first
    assert offer(gateway) == first
    gateway.refuse_with = None
    state(page, "connected")


def test_gives_up_after_thirty_seconds(page: Page, gateway: PageServer) -> None:
    page.clock.install()
    connect(page, gateway)
    gateway.refuse_with = 502
    gateway.outcome = (502, {"code": "connect_failed", "title": "It cannot be reached."})
    gateway.close_sockets(1006)
    state(page, "reconnecting")
    while page.locator("body").get_attribute("data-state") == "reconnecting":
        page.clock.run_for(250)
    state(page, "refused", "connect_failed")
    expect(page.locator("#again")).to_be_visible()
    assert 3 <= gateway.offers.qsize() <= 12


def test_a_refusal_in_a_reconnect_is_final_when_it_says_so(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    gateway.refuse_with, gateway.outcome = 401, (401, {"title": "no", "code": "token_refused"})
    gateway.close_sockets(1006)
    state(page, "refused", "token_refused")
    expect(page.locator("#card-title")).to_have_text("This link is not valid any more")
    expect(page.locator("#again")).to_be_hidden()


@pytest.mark.parametrize("resumable", [True, False])
def test_a_refused_socket_shows_its_outcome(page: Page, gateway: PageServer, resumable: bool) -> None:
    gateway.refuse_with = 502
    title = "The server is off <img src=x>"
    gateway.outcome = (200, {"code": "console_conflict", "title": title, "resumable": resumable})
    page.goto(gateway.url(LINK))
    state(page, "refused", "console_conflict")
    expect(page.locator("#card-title")).to_have_text(title)
    expect(page.locator("#again")).to_be_visible(visible=resumable)
    asked = gateway.questions.get(timeout=15)
    assert asked["Authorization"] == f"Bearer {TOKEN}"
    assert offer(gateway)[2] == f"consolekit.resume.{asked['Consolekit-Resume']}"
    assert asked["Referer"] == ""


def test_an_unexplained_refusal_is_said_to_be_one(page: Page, gateway: PageServer) -> None:
    gateway.refuse_with, gateway.outcome = 404, (404, {})
    page.goto(gateway.url(LINK))
    state(page, "refused", "unexplained")


def test_no_gateway_at_all(page: Page, gateway: PageServer) -> None:
    gateway.refuse_with = 503
    page.route("**/outcome", lambda route: route.abort())
    page.goto(gateway.url(LINK))
    state(page, "refused", "unreachable")


@pytest.mark.parametrize("fragment", ["", "server=web-1", "token=", "token=a%20b,c"])
def test_without_a_link(page: Page, gateway: PageServer, fragment: str) -> None:
    page.goto(gateway.url(fragment))
    state(page, "refused", "no_link")
    assert page.url == gateway.url()
    assert gateway.offers.empty()


def test_without_novnc(page: Page, tmp_path: Path) -> None:
    with page_server(novnc=tmp_path) as gateway:
        page.goto(gateway.url(LINK))
        state(page, "missing", "novnc_missing")
        expect(page.locator("#card-cure")).to_contain_text("consolekit web status")
        assert gateway.offers.empty()


def test_the_viewer_may_leave_and_come_back(page: Page, gateway: PageServer) -> None:
    first = connect(page, gateway)
    page.get_by_role("button", name="Disconnect").click()
    state(page, "ended", "left")
    page.get_by_role("button", name="Reconnect").click()
    state(page, "connected")
    assert offer(gateway) == first
