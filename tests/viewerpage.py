"""Test support: opening the viewer page against its stand-in gateway, and waiting for a state."""

from __future__ import annotations

from pageserver import PageServer
from playwright.sync_api import Page, expect

TOKEN = "ckt_" + "Aa0-_" * 8 + "xyz"
LINK = f"token={TOKEN}&server=web-1&protocol=vnc&type=novnc"


def state(page: Page, wanted: str, code: str | None = None) -> None:
    body = page.locator("body")
    expect(body).to_have_attribute("data-state", wanted, timeout=15_000)
    if code is not None:
        expect(body).to_have_attribute("data-code", code)


def connect(page: Page, server: PageServer, link: str = LINK) -> list[str]:
    """Open the page, wait for the picture; the subprotocols that were offered."""
    page.goto(server.url(link))
    state(page, "connected")
    return offer(server)


def offer(server: PageServer) -> list[str]:
    protocols: list[str] = server.offers.get(timeout=15)["protocols"]
    return protocols
