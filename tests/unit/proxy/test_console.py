"""A grant's console at its provider: what providers do wrong, a second ticket, and giving back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from consolesite import VNC, Rack, make_site

from consolekit.core.errors import (
    ConsoleConflict,
    ConsoleNotImplemented,
    ConsoleUnavailable,
    HypervisorPermission,
    ProviderError,
    TicketRefused,
    UnknownServer,
    UpstreamRefused,
)
from consolekit.core.types import ConsoleKey, ConsoleRequest, Endpoint, Grant, Mode, Target
from consolekit.proxy import console as module
from consolekit.proxy.closecodes import AS_SAID, MOVED, TAKEN
from consolekit.proxy.console import Console

GRANT = Grant(
    id="g-1",
    request=ConsoleRequest(key=VNC, server_id="web-1", subject="alice"),
    provider="rack",
    issued_at=0.0,
    expires_at=60.0,
    session_seconds=60.0,
)
SHAKE = SimpleNamespace(channel=None)


class Shelf(Rack):
    """Gives numbered endpoints, and writes down what comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Endpoint] = []
        self.returned: list[Endpoint] = []
        self.open_fault: BaseException | None = None
        self.close_fault: Exception | None = None
        self.script_fault: Exception | None = None
        self.hangs = False
        self.filter: Any = None
        self.asked_filters: list[tuple[Endpoint, Mode]] = []
        self.meaning: Any = None
        self.asked_meanings: list[tuple[Endpoint, int]] = []

    async def open(self, request: ConsoleRequest) -> Endpoint:
        if self.hangs:
            await asyncio.Event().wait()
        if self.open_fault is not None:
            raise self.open_fault
        self.given.append(Endpoint(host="192.0.2.1", port=5900 + len(self.given)))
        return self.given[-1]

    def viewer_filter(self, endpoint: Endpoint, mode: Mode) -> Any:
        self.asked_filters.append((endpoint, mode))
        if isinstance(self.filter, Exception):
            raise self.filter
        return self.filter

    def refused(self, endpoint: Endpoint, status: int) -> Any:
        self.asked_meanings.append((endpoint, status))
        if isinstance(self.meaning, KeyError):
            raise self.meaning
        return self.meaning

    async def adopt(self, request: ConsoleRequest, target: Any) -> Endpoint:
        return await self.open(request)

    def handshake(self, endpoint: Endpoint) -> None:
        if self.script_fault is not None:
            raise self.script_fault

    async def close(self, endpoint: Endpoint) -> None:
        self.returned.append(endpoint)
        if self.close_fault is not None:
            raise self.close_fault


@attrs.define
class Bench:
    """A console over a shelf; what reaching does is a list of outcomes."""

    console: Console
    shelf: Shelf
    outcomes: list[Any]

    async def reach(self) -> Any:
        return await self.console.reach(connect_seconds=1.0, handshake_seconds=2.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*outcomes: Any, counts_input: bool = False, **grant: Any) -> Bench:
        shelf, left = Shelf(), list(outcomes)

        async def reach(endpoint, make_script, *, connect_seconds, handshake_seconds, measure):
            assert (connect_seconds, handshake_seconds) == (1.0, 2.0)
            make_script(endpoint)
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(module, "reach", reach)
        site = make_site(shelf, check_seconds=0.01)
        granted = attrs.evolve(GRANT, provider="more0", **grant)
        console = Console(site.kit, granted, dict, counts_input=counts_input)
        return Bench(console, shelf, left)

    return make


async def test_asked_reached_and_given_back_once(bench):
    one = bench(SHAKE)
    assert await one.reach() is SHAKE
    await one.console.close()
    await one.console.close()
    assert one.shelf.returned == one.shelf.given
    assert len(one.shelf.given) == 1


async def test_nothing_was_given_and_nothing_goes_back(bench):
    one = bench()
    await one.console.close()
    one.shelf.open_fault = ConsoleConflict("off")
    with pytest.raises(ConsoleConflict):
        await one.reach()
    await one.console.close()
    assert one.shelf.returned == []


@pytest.mark.parametrize(
    ("endpoint", "parting"),
    [
        (Endpoint(), AS_SAID),
        (Endpoint(moves=True), MOVED),
        (Endpoint(exclusive=True), TAKEN),
        (Endpoint(moves=True, exclusive=True), TAKEN),
    ],
)
async def test_what_the_servers_ends_mean_is_the_endpoints_to_say(bench, endpoint, parting):
    one = bench(SHAKE)
    assert one.console.parting is AS_SAID
    one.console._endpoint = endpoint
    assert one.console.parting is parting


async def test_a_refused_ticket_is_replaced_once(bench):
    one = bench(TicketRefused("used"), SHAKE)
    assert await one.reach() is SHAKE
    assert one.shelf.returned == one.shelf.given[:1]
    await one.console.close()
    assert one.shelf.returned == one.shelf.given
    assert len(one.shelf.given) == 2


async def test_and_not_twice(bench):
    one = bench(TicketRefused("used"), TicketRefused("again"), SHAKE)
    with pytest.raises(TicketRefused, match="again"):
        await one.reach()
    await one.console.close()
    assert one.shelf.returned == one.shelf.given
    assert one.outcomes == [SHAKE]


async def test_a_ticket_that_came_with_the_token_stays_the_only_one(bench):
    one = bench(TicketRefused("used"), SHAKE, target=Target(host="192.0.2.1", port=443))
    with pytest.raises(TicketRefused):
        await one.reach()
    assert one.outcomes == [SHAKE]


def refusal(kind: type[TicketRefused | UpstreamRefused], status: int) -> Exception:
    error = kind("said no")
    error.answered = status
    return error


@pytest.mark.parametrize("kind", [UpstreamRefused, TicketRefused])
async def test_what_a_refused_websocket_means_is_the_providers_to_say(bench, kind):
    one = bench(refusal(kind, 403), refusal(kind, 403))
    one.shelf.meaning = HypervisorPermission("the account may not")
    with pytest.raises(HypervisorPermission):
        await one.reach()
    assert one.shelf.asked_meanings == [(one.shelf.given[-1], 403)], (
        "once, of the endpoint that was refused last"
    )


async def test_a_provider_that_knows_no_better_leaves_it_as_it_is(bench):
    one = bench(refusal(UpstreamRefused, 500))
    with pytest.raises(UpstreamRefused, match="said no"):
        await one.reach()
    assert one.shelf.asked_meanings == [(one.shelf.given[-1], 500)]
    one = bench(TicketRefused("by a password"), TicketRefused("by a password"))
    with pytest.raises(TicketRefused):
        await one.reach()
    assert one.shelf.asked_meanings == [], "no HTTP status, no question"


@pytest.mark.parametrize("meaning", [KeyError("oops"), "a word"])
async def test_a_meaning_that_the_contract_does_not_allow(bench, meaning):
    one = bench(refusal(UpstreamRefused, 403))
    one.shelf.meaning = meaning
    with pytest.raises(ProviderError):
        await one.reach()


async def test_other_refusals_are_not_tried_again(bench):
    one = bench(ConsoleConflict("no"), SHAKE)
    with pytest.raises(ConsoleConflict):
        await one.reach()
    assert one.outcomes == [SHAKE]


async def test_a_key_that_the_provider_does_not_offer(bench):
    request = attrs.evolve(GRANT.request, key=ConsoleKey("mks", "webmks"))
    with pytest.raises(UnknownServer):
        await bench(SHAKE, request=request).reach()


@pytest.mark.parametrize("member", ["open_fault", "script_fault"])
async def test_what_a_providers_contract_does_not_allow(bench, member):
    one = bench(SHAKE)
    setattr(one.shelf, member, KeyError("oops"))
    with pytest.raises(ProviderError, match="KeyError"):
        await one.reach()


async def test_a_script_that_says_why(bench):
    one = bench(SHAKE)
    one.shelf.script_fault = ConsoleConflict("no")
    with pytest.raises(ConsoleConflict):
        await one.reach()


async def test_a_provider_that_hangs(bench):
    one = bench(SHAKE)
    one.shelf.hangs = True
    with pytest.raises(ConsoleUnavailable, match="within"):
        await one.reach()


async def test_a_close_that_fails_is_the_providers_own_affair(bench, caplog):
    one = bench(SHAKE)
    one.shelf.close_fault = KeyError("oops")
    await one.reach()
    await one.console.close()
    assert "close failed" in caplog.text


WATCHING = attrs.evolve(GRANT.request, mode=Mode.VIEW)


async def test_no_filter_is_asked_for_where_nothing_is_to_be_filtered_or_counted(bench):
    one = bench(SHAKE)
    one.shelf.filter = object()
    await one.reach()
    assert one.console.viewer_filter is None
    assert one.shelf.asked_filters == []


@pytest.mark.parametrize(
    ("options", "mode"), [({"counts_input": True}, Mode.INTERACT), ({"request": WATCHING}, Mode.VIEW)]
)
async def test_a_filter_for_the_viewers_mode(bench, options, mode):
    one = bench(SHAKE, **options)
    one.shelf.filter = object()
    await one.reach()
    assert one.console.viewer_filter is one.shelf.filter
    assert one.shelf.asked_filters == [(one.shelf.given[0], mode)]


async def test_without_a_filter_all_is_input_and_nobody_merely_looks(bench):
    one = bench(SHAKE, counts_input=True)
    assert await one.reach() is SHAKE
    assert one.console.viewer_filter is None
    watching = bench(SHAKE, request=WATCHING)
    with pytest.raises(ConsoleNotImplemented, match="gave no filter for mode view"):
        await watching.reach()
    assert watching.outcomes == [SHAKE], "the server was reached for who must not"
    await watching.console.close()
    assert watching.shelf.returned == watching.shelf.given


@pytest.mark.parametrize("fault", [RuntimeError("canary"), ConsoleUnavailable("not now")], ids=["bug", "own"])
async def test_a_provider_that_fails_to_make_its_filter(bench, fault):
    one = bench(SHAKE, request=WATCHING)
    one.shelf.filter = fault
    with pytest.raises(ProviderError) as caught:
        await one.reach()
    assert "canary" not in str(caught.value)
    assert one.outcomes == [SHAKE]
