"""The viewer page's controls in a real browser: keys, clipboard, sizes, phone, hostile text."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator

import parts
import pytest
from pageserver import PageServer
from playwright.sync_api import Page, expect
from viewerpage import TOKEN, connect

pytestmark = [pytest.mark.browser, pytest.mark.external]


def keys(gateway: PageServer, count: int) -> list[tuple[bool, int]]:
    return [gateway.heard.get(timeout=15)[1:] for _ in range(count)]


HOSTILE = "<img src=x onerror=alert(1)>\u202e\x07 " + "long " * 60


def test_a_hostile_desktop_name_is_text(page: Page, gateway: PageServer) -> None:
    gateway.desktop_name = HOSTILE
    connect(page, gateway)
    shown = page.locator("#desktop")
    expect(shown).to_contain_text("<img src=x onerror=alert(1)>")
    assert len(shown.inner_text()) <= 80
    assert "\u202e" not in shown.inner_text()
    assert page.locator("header img").count() == 0


def test_a_hostile_server_name_in_the_link_is_text(page: Page, gateway: PageServer) -> None:
    connect(page, gateway, f"token={TOKEN}&server=%3Cimg%20src=x%3E{'x' * 500}")
    expect(page.locator("#server")).to_contain_text("<img src=x>")
    assert len(page.title()) < 100
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_clipboard_both_ways(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    page.get_by_role("button", name="Clipboard").click()
    text = page.get_by_label("Clipboard of the server")
    gateway.cut_text("from <b>there</b>")
    expect(text).to_have_value("from <b>there</b>")
    text.fill("from here")
    page.get_by_role("button", name="Send", exact=True).click()
    assert gateway.heard.get(timeout=15) == ("cut", "from here")
    text.fill("aB\n")
    page.get_by_role("button", name="Type as keys").click()
    typed = [(True, 0x61), (False, 0x61), (True, 0xFFE1), (True, 0x42), (False, 0x42)]
    assert keys(gateway, 8) == [*typed, (False, 0xFFE1), (True, 0xFF0D), (False, 0xFF0D)]


CTRL, ALT = 0xFFE3, 0xFFE9
CHORDS = {
    "Ctrl+Alt+Del": [CTRL, ALT, 0xFFFF],
    "Ctrl+Alt+Backspace": [CTRL, ALT, 0xFF08],
    "Ctrl+Alt+F1": [CTRL, ALT, 0xFFBE],
    "Ctrl+Alt+F12": [CTRL, ALT, 0xFFC9],
    "Alt+Tab": [ALT, 0xFF09],
    "Alt+F4": [ALT, 0xFFC1],
    "Super": [0xFFEB],
    "PrintScreen": [0xFF61],
    "Esc": [0xFF1B],
    "Tab": [0xFF09],
}


def chord(keysyms: list[int]) -> list[tuple[bool, int]]:
    return [(True, k) for k in keysyms] + [(False, k) for k in reversed(keysyms)]


def test_key_combinations_arrive(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    for name, keysyms in CHORDS.items():
        if page.locator("#keys").is_hidden():
            page.get_by_role("button", name="Send keys").click()
        page.locator(f'#keys [data-keys="{name}"]').click()
        assert keys(gateway, 2 * len(keysyms)) == chord(keysyms), name
    page.click("#send-cad")
    assert keys(gateway, 6) == chord([CTRL, ALT, 0xFFFF])


def test_held_keys_stay_down_while_others_are_typed(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    page.get_by_role("button", name="Send keys").click()
    hold = page.get_by_role("button", name="Hold Ctrl")
    hold.click()
    expect(hold).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("c")  # the click left the focus on the screen
    hold.click()
    assert keys(gateway, 4) == [(True, CTRL), (True, 0x63), (False, 0x63), (False, CTRL)]


def test_typing_goes_to_the_screen_and_there_is_a_way_out(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    page.keyboard.press("Tab")
    assert keys(gateway, 2) == chord([0xFF09])
    page.keyboard.press("Control+Alt+Shift+KeyM")
    expect(page.locator("#send-cad")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Hold Ctrl")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#open-keys")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#screen canvas")).to_be_focused()


def test_every_control_has_a_name(page: Page, gateway: PageServer) -> None:
    connect(page, gateway)
    unnamed = """() => [...document.querySelectorAll('button, textarea, input')].filter((item) =>
      !item.ariaLabel && !item.textContent.trim() && !item.labels?.length).map((i) => i.id)"""
    assert page.evaluate(unnamed) == []


def test_phone_width(phone: Page, gateway: PageServer) -> None:
    connect(phone, gateway)
    inside = """() => [...document.querySelectorAll('#tools button')].every((button) => {
      const box = button.getBoundingClientRect();
      return !box.width || (box.left >= 0 && box.right <= innerWidth && box.height >= 44);
    }) && document.documentElement.scrollWidth <= innerWidth"""
    assert phone.evaluate(inside)
    for name in ("keys", "clipboard", "view"):
        phone.tap(f"#open-{name}")
        expect(phone.locator(f"#{name}")).to_be_visible()
        assert phone.evaluate(inside)
        assert phone.locator("#screen").bounding_box()["height"] > 150  # type: ignore[index]


def test_a_soft_keyboard_types(phone: Page, gateway: PageServer) -> None:
    connect(phone, gateway)
    phone.tap("#toggle-typing")
    expect(phone.locator("#typing")).to_be_focused()
    phone.keyboard.insert_text("né")  # as soft keyboards do: no key event
    phone.keyboard.press("Backspace")
    phone.keyboard.press("Enter")
    wanted = [0x6E, 0xE9, 0xFF08, 0xFF0D]
    assert keys(gateway, 8) == [(down, k) for k in wanted for down in (True, False)]
    phone.tap("#toggle-typing")
    expect(phone.locator("#toggle-typing")).to_have_attribute("aria-pressed", "false")


def test_full_screen_hides_the_bar_and_gives_it_back(page: Page, gateway: PageServer) -> None:
    page.clock.install()
    connect(page, gateway)
    page.click("#toggle-fullscreen")
    expect(page.locator("body")).to_have_class(re.compile("full"))
    page.mouse.move(640, 500)
    page.clock.run_for(6_000)
    expect(page.locator("#bar")).not_to_be_in_viewport()
    page.click("#handle")
    expect(page.locator("#bar")).to_be_in_viewport()
    page.click("#toggle-fullscreen")
    expect(page.locator("body")).not_to_have_class(re.compile("full"))


@pytest.fixture
def tigervnc() -> Iterator[int]:
    program = parts.require("Xvnc", "tigervnc-standalone-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = f"-rfbport {port} -localhost -SecurityTypes None -geometry 640x400 -displayfd 1"
    with subprocess.Popen(
        [program, *options.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()  # the display's number: it is up
        yield port
        process.terminate()


def test_the_servers_screen_is_resized(page: Page, gateway: PageServer, tigervnc: int) -> None:
    gateway.target = ("127.0.0.1", tigervnc)
    connect(page, gateway)
    size = "() => { const c = document.querySelector('#screen canvas'); return c.width; }"
    assert page.evaluate(size) == 640
    page.click("#open-view")
    page.get_by_label("Resize the server").check()
    page.wait_for_function(f"() => ({size})() === 1280")
