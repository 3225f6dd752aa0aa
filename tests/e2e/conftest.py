"""Fixtures of the browser tests: one Chromium a module, a page that must not break its policy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import parts
import pytest
from pageserver import PageServer, page_server
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
WATCH_CSP = """
window.violations = [];
document.addEventListener('securitypolicyviolation',
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    program = parts.require("chromium", "chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def gateway() -> Iterator[PageServer]:
    """The gateway's stand-in, with noVNC."""
    with page_server() as running:
        if not running.novnc.is_dir():
            parts.missing("noVNC is not there: apt-get install npm, then install consolekit again")
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A desktop's page."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield from _watched(context.new_page())


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A phone's page."""
    with browser.new_context(
        viewport={"width": 360, "height": 640},
        is_mobile=True,
        has_touch=True,
        device_scale_factor=2,
    ) as context:
        yield from _watched(context.new_page())


def _watched(page: Page) -> Iterator[Page]:
    errors: list[str] = []
    page.add_init_script(WATCH_CSP)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.extend(_policy_errors(message)))
    yield page
    assert page.evaluate("window.violations") == []
    assert errors == []


def _policy_errors(message: ConsoleMessage) -> list[str]:
    return [message.text] if re.search("Content Security|Refused to", message.text) else []
