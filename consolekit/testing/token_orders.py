"""Testing: what every token store must keep to about lists, revocations, sessions and purging."""

from __future__ import annotations

import asyncio
from typing import Any

from consolekit.auth.base import OWNER_SECONDS, TokenStore
from consolekit.core.types import Revocation, Scope
from consolekit.testing.clock import ManualClock
from consolekit.testing.examples import TTL, example_grant, example_hash, example_session
from consolekit.testing.storechecks import StoreChecks, check, refused


class OrderChecks(StoreChecks):
    """The rules of everything but ``put`` and ``take``; part of ``TokenStoreContract``."""

    @check
    async def test_grants_are_listed_oldest_first(self, store: TokenStore, clock: ManualClock) -> None:
        """Alive ones and taken ones, whoever may resume them."""
        for name in ("c", "a", "b"):
            await store.put(example_hash(name), example_grant(clock, id=name))
            clock.advance(1)
        await store.take(example_hash("a"))
        assert [grant.id for grant in await store.grants()] == ["c", "a", "b"]

    @check
    async def test_grants_are_found_by_name(self, store: TokenStore, clock: ManualClock) -> None:
        """By grant, server and subject, exactly as written; several names must all fit."""
        names: dict[str, dict[str, Any]] = {
            "g0": {},
            "g1": {"server_id": "srv-2"},
            "g2": {"server_id": "srv-2", "subject": "bob"},
            "g3": {"server_id": "SRV-2"},
        }
        for name, changes in names.items():
            await store.put(example_hash(name), example_grant(clock, id=name, **changes))
            clock.advance(1)
        wanted: list[tuple[dict[str, str], list[str]]] = [
            ({"grant_id": "g1"}, ["g1"]),
            ({"grant_id": "G1"}, []),
            ({"server_id": "srv-2"}, ["g1", "g2"]),
            ({"subject": "bob"}, ["g2"]),
            ({"server_id": "srv-2", "subject": "bob"}, ["g2"]),
            ({"server_id": "%"}, []),
            ({"server_id": "srv-2 "}, []),
            ({"grant_id": "g0", "server_id": "srv-2"}, []),
        ]
        for asked, found in wanted:
            assert [grant.id for grant in await store.grants(**asked)] == found, f"asked for {asked}"

    @check
    async def test_a_revocation_removes_what_it_names(self, store: TokenStore, clock: ManualClock) -> None:
        """By grant, server and subject; taken or not; the others stay."""
        for scope, value in ((Scope.GRANT, "g1"), (Scope.SERVER, "srv-2"), (Scope.SUBJECT, "bob")):
            names: dict[str, dict[str, Any]] = {
                "g0": {},
                "g1": {},
                "g2": {"server_id": "srv-2"},
                "g3": {"subject": "bob"},
            }
            for name, changes in names.items():
                await store.put(example_hash(f"{scope} {name}"), example_grant(clock, id=name, **changes))
                await store.take(example_hash(f"{scope} {name}"), resume_hash=example_hash("key"))
            assert await store.revoke(Revocation(scope=scope, value=value, at=clock.now())) == 1
            doomed = {"g1": "g1", "srv-2": "g2", "bob": "g3"}[value]
            assert [grant.id for grant in await store.grants()] == sorted(set(names) - {doomed})
            resume = store.take(example_hash(f"{scope} {doomed}"), resume_hash=example_hash("key"))
            await refused(resume, f"a resume after a revocation of {scope}")
            for name in set(names) - {doomed}:
                await store.revoke(Revocation(scope=Scope.GRANT, value=name, at=clock.now()))

    @check
    async def test_a_revoked_token_opens_nothing(self, store: TokenStore, clock: ManualClock) -> None:
        """Revoked before its first use, it is as if it had never been."""
        await store.put(example_hash("a"), example_grant(clock, id="g"))
        await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=clock.now()))
        await refused(store.take(example_hash("a")), "a revoked grant")

    @check
    async def test_a_revocation_spares_what_is_issued_later(
        self, store: TokenStore, clock: ManualClock
    ) -> None:
        """Issued at its instant: gone. Issued after it: stays."""
        revocation = Revocation(scope=Scope.SERVER, value="web-1", at=clock.now())
        await store.put(example_hash("a"), example_grant(clock, id="old"))
        clock.advance(0.5)
        await store.put(example_hash("b"), example_grant(clock, id="new"))
        assert await store.revoke(revocation) == 1
        assert [grant.id for grant in await store.grants()] == ["new"]

    @check
    async def test_a_killed_session_cannot_resume(self, store: TokenStore, clock: ManualClock) -> None:
        """A revocation of scope SESSION takes the session's grant, and only that."""
        for name in ("g1", "g2"):
            await store.put(example_hash(name), example_grant(clock, id=name))
            grant = await store.take(example_hash(name), resume_hash=example_hash("key"))
            await store.keep_sessions(f"proxy of {name}", [example_session(grant, clock, id=f"s {name}")])
        await store.revoke(Revocation(scope=Scope.SESSION, value="s g1", at=clock.now()))
        await store.release("g1", outcome="revoked", resume_until=clock.now() + 30)
        await refused(store.take(example_hash("g1"), resume_hash=example_hash("key")), "a killed session")
        await store.take(example_hash("g2"), resume_hash=example_hash("key"))

    @check
    async def test_revocations_come_once_and_in_order(self, store: TokenStore, clock: ManualClock) -> None:
        """From the cursor on; -1 gives all that is kept; also those that removed no grant."""
        orders = [
            Revocation(scope=scope, value=f"{number}", at=clock.now())
            for number, scope in enumerate((Scope.SESSION, Scope.GRANT, Scope.SERVER, Scope.SUBJECT))
        ]
        await store.revoke(orders[0])
        start, kept = await store.revocations(-1)
        assert kept == orders[:1], "-1 gives all that is kept"
        for order in orders[1:]:
            await store.revoke(order)
        cursor, found = await store.revocations(start)
        assert found == orders[1:]
        last = Revocation(scope=Scope.GRANT, value="last", at=clock.now())
        await store.revoke(last)
        assert (await store.revocations(cursor))[1] == [last], "each comes once"

    @check
    async def test_a_waiting_reader_hears_a_revocation(self, store: TokenStore, clock: ManualClock) -> None:
        """Whoever waits is woken; for a shared store through another handle too."""
        other = await self.make_store(clock) if store.shared else store
        try:
            start, _ = await other.revocations(-1)
            order = Revocation(scope=Scope.SERVER, value="web-1", at=clock.now())
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                waiting = group.create_task(other.revocations(start))
                await asyncio.sleep(0)
                await store.revoke(order)
        finally:
            if other is not store:
                await other.aclose()
        assert waiting.result()[1] == [order]

    @check
    async def test_a_cursor_of_an_earlier_life_gets_everything(
        self, store: TokenStore, clock: ManualClock
    ) -> None:
        """A store that began anew does not leave its readers deaf."""
        order = Revocation(scope=Scope.SERVER, value="web-1", at=clock.now())
        await store.revoke(order)
        assert (await store.revocations(10**6))[1] == [order]

    @check
    async def test_a_reader_can_be_cancelled(self, store: TokenStore, clock: ManualClock) -> None:
        """And the store works on."""
        start, _ = await store.revocations(-1)
        waiting = asyncio.get_running_loop().create_task(store.revocations(start))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await store.put(example_hash("a"), example_grant(clock))
        await store.take(example_hash("a"))

    @check
    async def test_sessions_are_replaced_by_owner(self, store: TokenStore, clock: ManualClock) -> None:
        """Each owner's last word counts; the list is of all owners, oldest first."""
        infos = []
        for number in range(4):
            infos.append(example_session(example_grant(clock), clock, id=f"s{number}"))
            clock.advance(1)
        await store.keep_sessions("p1", [infos[3], infos[0]])
        await store.keep_sessions("p2", [infos[2], infos[1]])
        assert await store.sessions() == infos
        await store.keep_sessions("p1", [infos[3]])
        assert await store.sessions() == infos[1:]

    @check
    async def test_silent_owners_are_gone(self, store: TokenStore, clock: ManualClock) -> None:
        """Not listed 30 s after their last word, purged or not."""
        await store.keep_sessions("p1", [example_session(example_grant(clock), clock)])
        clock.advance(OWNER_SECONDS - 0.5)
        assert len(await store.sessions()) == 1
        clock.advance(0.5)
        assert await store.sessions() == []
        await store.purge()
        assert await store.sessions() == []

    @check
    async def test_purge_forgets_only_what_is_past(self, store: TokenStore, clock: ManualClock) -> None:
        """Past expiry and resume deadline; never one that opens or resumes something."""
        await store.put(example_hash("unused"), example_grant(clock, id="unused"))
        await store.put(example_hash("used"), example_grant(clock, id="used"))
        await store.take(example_hash("used"), resume_hash=example_hash("key"))
        clock.advance(TTL - 0.5)
        assert await store.purge() == 0
        clock.advance(0.5)
        assert await store.purge() == 1
        await store.take(example_hash("used"), resume_hash=example_hash("key"))
        await store.release("used", outcome="peer_closed", resume_until=clock.now() + 30)
        clock.advance(30)
        assert await store.outcome(example_hash("used"), resume_hash=example_hash("key")) == "peer_closed"
        assert await store.purge() == 1
        await refused(store.outcome(example_hash("used"), resume_hash=example_hash("key")), "what is purged")

    @check
    async def test_purge_keeps_cursors_valid(self, store: TokenStore, clock: ManualClock) -> None:
        """Numbers of forgotten revocations never come back."""
        await store.revoke(Revocation(scope=Scope.GRANT, value="old", at=clock.now()))
        cursor, _ = await store.revocations(0)
        clock.advance(10**6)
        await store.purge()
        new = Revocation(scope=Scope.GRANT, value="new", at=clock.now())
        await store.revoke(new)
        later, found = await store.revocations(cursor)
        assert (found, later > cursor) == ([new], True)
