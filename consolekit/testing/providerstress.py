"""Testing: what a provider must stand: cancellation, silence, company, and its own end. Leaves nothing over.

The second half of ``ProviderContract``. Knows no particular provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from consolekit.core.provider import ConsoleProvider
from consolekit.core.types import Endpoint
from consolekit.testing.cancelling import Moment, cut
from consolekit.testing.leftovers import Inventory, other_tasks
from consolekit.testing.places import BadPlace, Manner
from consolekit.testing.providerchecks import ProviderChecks, bare_check, check
from consolekit.testing.validatorchecks import answer, asked

_AT_ONCE: Final = 8
_MOST_WAITS: Final = 200
_NETWORK: Final = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen")

Call = Callable[[], Coroutine[Any, Any, object]]


class ProviderStress(ProviderChecks):
    """The rules of what happens around a call, each with a name."""

    @bare_check
    async def test_cancelled_anywhere_it_leaves_nothing(self) -> None:
        """The viewer goes, or the gateway's time is over, at each of the places where a call waits."""
        with self.site():
            before = self.held()
            usual = await self._usually_held()
            for name in ("check", "open", "connect_info", "close"):
                for moment in Moment:
                    for at in range(_MOST_WAITS):
                        place = f"{name}, cancelled at wait {at}, {moment.value}"
                        if not await self._cut(name, at, moment, place, before, usual):
                            break
        assert not (left := other_tasks()), (
            f"cancelled calls leave tasks: {left}; await or cancel what you start"
        )

    async def _usually_held(self) -> int:
        """What a provider holds between calls, such as its login."""
        before = self.held()
        async with self.provider() as provider:
            await self.within(provider.close(await self.good(provider)))
            usual = await self.settled(before)
        await self.settled(before)
        return usual

    async def _cut(self, name: str, at: int, moment: Moment, place: str, before: int, usual: int) -> bool:
        """One try with a fresh provider; False if the call waits less often than that."""
        async with self.provider() as provider:
            endpoint = await self.good(provider) if name == "close" else None
            call = self._prepared(provider, name, endpoint)
            try:
                tried = await asyncio.wait_for(cut(call, at, moment), self.patience)
            except TimeoutError:
                raise AssertionError(f"{place}: goes on waiting; let CancelledError through") from None
            if tried.reached:
                _demand_cancelled(tried.outcome, place)
            for given in filter(None, (tried.outcome, endpoint)):  # what was cut in the middle is done again
                if isinstance(given, Endpoint):
                    await self.within(provider.close(given))
            if tried.reached:
                await self._judge(provider, place, usual)
        held = await self.settled(before)
        assert held <= before, f"{place}: {held - before} more held than before, even after aclose"
        return tried.reached

    def _prepared(self, provider: ConsoleProvider, name: str, endpoint: Endpoint | None = None) -> Call:
        if endpoint is not None:
            return lambda: provider.close(endpoint)
        request = self.request(provider)
        method: Callable[..., Coroutine[Any, Any, object]] = getattr(provider, name)
        return lambda: method(request)

    async def _judge(self, provider: ConsoleProvider, place: str, usual: int) -> None:
        again = await self.within(provider.open(self.request(provider)))
        assert isinstance(again, Endpoint), (
            f"{place}: the next open gave {again!r}; is a lock still kept, or a connection half used?"
        )
        await self.within(provider.close(again))
        held = await self.settled(usual)
        assert held <= usual, f"{place}: what it had taken is still held; give it back in a finally"

    @bare_check
    async def test_a_silent_hypervisor_is_given_up(self) -> None:
        """The gateway cancels what takes too long: nothing may hold the event loop, or its own end, up."""
        if self.asks_nobody:
            return
        for name in ("check", "open"):
            came = asyncio.Event()
            tell = partial(asyncio.get_running_loop().call_soon_threadsafe, came.set)
            with BadPlace(Manner.SILENT, patience=self.patience, visited=tell, noticed=came.is_set) as place:
                provider = await self.make_provider_at(place.host, place.port)
                await self._give_up(provider, name, came, place)

    async def _give_up(
        self, provider: ConsoleProvider, name: str, came: asyncio.Event, place: BadPlace
    ) -> None:
        loop = asyncio.get_running_loop()
        call = loop.create_task(answer(self._prepared(provider, name)()))
        visit = loop.create_task(_wait(came))
        await asyncio.wait({call, visit}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
        assert not place.lost_patience, (
            f"{name} blocks the event loop while the hypervisor is silent, and with it every other console: "
            "await it, or put it into asyncio.to_thread with a deadline of its own"
        )
        assert came.is_set() or call.done(), (
            f"{name} neither asks the hypervisor of make_provider_at nor ends"
        )
        assert came.is_set() or name == "check", (
            "open asks nobody at make_provider_at's place: use host and port there, or set asks_nobody = True"
        )
        call.cancel()
        _, late = await asyncio.wait({call}, timeout=self.patience)
        assert not late, f"{name} does not let itself be cancelled while the hypervisor is silent"
        visit.cancel()
        closing = await self.within(provider.aclose())
        assert not isinstance(closing, TimeoutError), "aclose waits for a hypervisor that is silent: bound it"

    @check
    async def test_who_asks_nobody_asks_nobody(self, provider: ConsoleProvider) -> None:
        """What asks_nobody says is so: else a hypervisor that hangs would have to be tried."""
        if not self.asks_nobody:
            return
        with asked(_NETWORK) as events:
            await self.within(provider.check(self.request(provider)))
            await self.within(provider.close(await self.good(provider)))
        assert not events, f"asks_nobody = True, and it does: {sorted(set(events))}; give make_provider_at"

    @check
    async def test_two_at_once_get_what_is_theirs(self, provider: ConsoleProvider) -> None:
        """Calls for several servers overlap, and are not mixed up."""
        ids = [self.server_id, *filter(None, [self.other_server_id])]
        alone = {}
        for server_id in ids:
            endpoint = await self.good(provider, server_id)
            alone[server_id] = self.place(endpoint)
            await self.within(provider.close(endpoint))
        wanted = (ids * _AT_ONCE)[:_AT_ONCE]
        calls = (self.within(provider.open(self.request(provider, server_id))) for server_id in wanted)
        for server_id, said in zip(wanted, await asyncio.gather(*calls), strict=True):
            assert isinstance(said, Endpoint), f"{_AT_ONCE} opens at once: one gave {said!r}"
            assert self.place(said) == alone[server_id], (
                f"opened at once with another, {server_id} is elsewhere: keep a call's things in the call"
            )
            await self.within(provider.close(said))

    @check
    async def test_two_providers_share_nothing(self, provider: ConsoleProvider) -> None:
        """Two kits in one process: the end of one is not the end of the other."""
        other = await self.make_provider()
        assert other is not provider, "make_provider must make a new one each time"
        try:
            for one in (provider, other):
                await self.within(one.close(await self.good(one)))
        finally:
            closed = await self.within(other.aclose())
        assert closed is None, f"aclose gave {closed!r}"
        said = await self.within(provider.open(self.request(provider)))
        assert isinstance(said, Endpoint), (
            f"after another provider's aclose, open gave {said!r}: keep nothing on the class or the module"
        )
        await self.within(provider.close(said))

    @bare_check
    async def test_its_end_gives_everything_back(self) -> None:
        """Unused, used, and after a call that failed."""
        for what in ("nothing", "a console", "a refusal"):
            with self.site():
                before = self.held()
                provider = await self.make_provider()
                if what == "a console":
                    await self.within(provider.close(await self.good(provider)))
                elif what == "a refusal":
                    await self.within(provider.open(self.request(provider, self.unknown_server_id)))
                said = await self.within(provider.aclose())
                assert said is None, f"aclose after {what}: {said!r}"
                held = await self.settled(before)
                assert held <= before, (
                    f"aclose after {what}: {held - before} more held than before; give it back"
                )

    def test_no_task_is_left(self) -> None:
        """Who starts a task awaits or cancels it, in ``aclose`` at the latest."""
        left = asyncio.run(self._life())
        assert not left, f"tasks that go on after aclose: {left}"

    def test_no_thread_is_left(self) -> None:
        """Nor a thread, in the second life: what a library keeps once is its own."""
        asyncio.run(self._life())
        before = Inventory.now()
        asyncio.run(self._life())
        left = before.new_threads(self.patience)
        assert not left, f"threads that go on after aclose: {left}"

    def test_no_descriptor_is_left(self) -> None:
        """Nor an open file, socket or pipe."""
        asyncio.run(self._life())
        before = Inventory.now()
        asyncio.run(self._life())
        left = before.new_descriptors(self.patience)
        assert not left, f"descriptors that stay open after aclose: {left}"

    async def _life(self) -> list[str]:
        """All that happens to a provider, once; the tasks that are left of it."""
        with self.site():
            async with self.provider() as provider:
                for server_id in (self.server_id, self.unknown_server_id, *self.refusals):
                    async for _ in self.outcomes(provider, server_id):
                        pass
            for place in self.bad_places():
                async with self.provider_at(place) as elsewhere:
                    await self.within(elsewhere.open(self.request(elsewhere)))
        return other_tasks()


def _demand_cancelled(said: object, place: str) -> None:
    assert isinstance(said, asyncio.CancelledError), (
        f"{place}: gave {said!r}; let CancelledError through, after you have given back what is taken"
    )


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
