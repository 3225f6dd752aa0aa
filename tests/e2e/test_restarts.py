"""Two proxies behind the documented HAProxy with Redis, one restarted while a person types: what they see."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import string
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import drills
import fleet
import hosts
import pytest
from gateway import resume_key
from playwright.sync_api import Page

from consolekit.testing.rfbserver import RfbServer

pytestmark = [pytest.mark.browser, pytest.mark.external]
_T = TypeVar("_T")

DRAIN_SECONDS = 4
CONNECTED = "body[data-state=connected]"
WATCH = """() => {
  const part = (id) => document.getElementById(id);
  window.seen = [];
  new MutationObserver(() => window.seen.push([
    document.body.dataset.state,
    part('card-title').textContent, part('card-text').textContent, !part('ghost').hidden,
  ])).observe(document.body, {attributes: true, attributeFilter: ['data-state']});
}"""
BROKEN = ["reconnecting", "The connection broke", "Making it again…", True]


@attrs.define
class Site:
    """The fleet, its one screen, and the loop that they live in."""

    both: fleet.Fleet
    screen: RfbServer
    loop: asyncio.AbstractEventLoop

    def do(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(fleet.PATIENCE)

    @property
    def typed(self) -> str:
        """What has arrived at the server."""
        return self.screen.scene.typed


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("CONSOLEKIT_TIMEOUTS__DRAIN_SECONDS", str(DRAIN_SECONDS))
    ready: concurrent.futures.Future[Site] = concurrent.futures.Future()
    over = asyncio.Event()

    async def run() -> None:
        try:
            async with (
                RfbServer() as screen,
                # the browser is in the machine's own network
                fleet.running(
                    "redis", tmp_path, where=lambda: contextlib.nullcontext(hosts.LOOPBACK),
                    per_host=1, workers=1, screen=screen.address,
                ) as both,
            ):  # fmt: skip
                ready.set_result(Site(both, screen, asyncio.get_running_loop()))
                await over.wait()
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="site")
    thread.start()
    running = ready.result()
    try:
        yield running
    finally:
        running.loop.call_soon_threadsafe(over.set)
        thread.join()


@attrs.define
class Person:
    """Types the alphabet, over and over."""

    page: Page
    site: Site
    sent: str = ""

    def type(self) -> None:
        self.sent += string.ascii_letters[len(self.sent) % len(string.ascii_letters)]
        self.page.keyboard.type(self.sent[-1])

    def sees_it_arrive(self) -> None:
        self.type()
        for _ in range(1200):
            if self.site.typed.endswith(self.sent[-1]):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"{self.site.typed!r} arrived of {self.sent!r}")

    def goes_on_until_it_is_back(self) -> list[list[Any]]:
        """Whatever the page shows; gives what it has shown."""
        while self.page.evaluate("window.seen.length") < 2 or self.page.query_selector(CONNECTED) is None:
            self.type()
            self.page.wait_for_timeout(100)
        seen: list[list[Any]] = self.page.evaluate("window.seen")
        return seen


def test_a_restarted_proxy_is_a_short_break_and_keys_arrive_again(page: Page, site: Site) -> None:
    both, person = site.both, Person(page, site)
    answer = site.do(both.try_link())
    page.goto(answer.json["url"])
    page.wait_for_selector(CONNECTED)
    page.locator("#screen canvas").click()
    person.sees_it_arrive()
    first = site.do(both.proxy_of(answer.json["grant_id"]))

    page.evaluate(WATCH)
    stopping = asyncio.run_coroutine_threadsafe(first.stopped(), site.loop)
    link = site.do(both.link("s1", subject="bob"))
    assert site.do(drills.attempt(both, link, resume=resume_key())).status == 101  # at the other
    person.sees_it_arrive()
    assert page.evaluate("window.seen") == []  # a proxy that is asked to end lets its consoles go on
    seen = person.goes_on_until_it_is_back()
    assert stopping.result(fleet.PATIENCE) == 0
    assert seen[0] == BROKEN
    assert [state for state, *_ in seen] == ["reconnecting", "connected"]
    person.sees_it_arrive()
    second = site.do(both.proxy_of(answer.json["grant_id"]))
    assert second is not first

    first.start()
    site.do(first.answers("/readyz"))
    page.evaluate(WATCH)
    second.kill()
    seen = person.goes_on_until_it_is_back()
    assert seen[0] == BROKEN
    assert {state for state, *_ in seen} == {"reconnecting", "connected"}
    person.sees_it_arrive()
    assert site.do(both.proxy_of(answer.json["grant_id"])) is first
    # what was typed while nothing was connected is lost; nothing came twice, or in another order
    sent = iter(person.sent)
    assert all(letter in sent for letter in site.typed), (person.sent, site.typed)
