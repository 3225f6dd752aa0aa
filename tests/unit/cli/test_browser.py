"""cli.browser: windows that may be opened, and text browsers that may not."""

from __future__ import annotations

import webbrowser

import pytest

from consolekit.cli import browser


@pytest.mark.parametrize(
    ("env", "there"), [({}, False), ({"DISPLAY": ":0"}, True), ({"WAYLAND_DISPLAY": "wayland-0"}, True)]
)
def test_a_browser_needs_a_display(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], there: bool) -> None:
    monkeypatch.setattr(browser.sys, "platform", "linux")
    assert browser.has_display(env) is there
    monkeypatch.setattr(browser.sys, "platform", "darwin")
    assert browser.has_display({})


class FakeBrowser:
    """A browser that notes what it opens."""

    def __init__(self, *, background: bool) -> None:
        self.background = background
        self.opened: list[str] = []

    def open(self, url: str) -> bool:
        self.opened.append(url)
        return True


@pytest.mark.parametrize("background", [True, False])
def test_a_text_browser_does_not_take_over_the_terminal(
    monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    fake = FakeBrowser(background=background)
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.setattr(browser.webbrowser, "get", lambda: fake)
    assert browser.open_window("http://x") is background
    assert fake.opened == (["http://x"] if background else [])
    monkeypatch.setenv("BROWSER", "mine")
    assert browser.open_window("http://y")
    assert fake.opened[-1] == "http://y"


def test_no_browser_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(browser.webbrowser, "get", none)
    assert not browser.open_window("http://x")
