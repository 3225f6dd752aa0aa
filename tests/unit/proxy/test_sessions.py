"""The live sessions of a process: limits, revocations, the list, the drain. Without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import attrs
import pytest

from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import Draining, LimitReached, StoreUnavailable
from consolekit.core.types import ConsoleKey, Revocation, Scope, SessionInfo
from consolekit.proxy import sessions as module
from consolekit.proxy.sessions import Limits, Sessions
from consolekit.testing.clock import ManualClock

VNC = ConsoleKey("vnc", "novnc")


class Fake:
    """A session that ends when it is told, at once or when the test says so."""

    def __init__(self, all_of_them: Sessions, number: int, *, slow: bool = False, **changes: str) -> None:
        self.sessions, self.slow = all_of_them, slow
        self.reasons: list[str] = []
        self._info = attrs.evolve(
            SessionInfo(
                id=f"s{number}", grant_id=f"g{number}", key=VNC, server_id="web-1", subject="alice",
                address="192.0.2.1", started_at=10.0, issued_at=10.0,
            ),
            **changes,
        )  # fmt: skip

    def info(self) -> SessionInfo:
        return self._info

    def end(self, reason: str) -> None:
        self.reasons.append(reason)
        if not self.slow:
            self.sessions.remove(self._info)


class Store(MemoryTokenStore):
    """A store that can be away, and says when somebody waits for revocations."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.away = False
        self.purged = asyncio.Event()
        self.kept = asyncio.Event()

    async def revocations(self, after):
        if self.away:
            raise StoreUnavailable("away")
        return await super().revocations(after)

    async def keep_sessions(self, owner, infos):
        if self.away:
            raise StoreUnavailable("away")
        await super().keep_sessions(owner, infos)
        self.kept.set()

    async def purge(self):
        self.purged.set()
        raise StoreUnavailable("away")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
async def store(clock) -> Store:
    return Store(clock)


@pytest.fixture
async def sessions(store, clock, monkeypatch) -> AsyncIterator[Sessions]:
    for name in ("_KEEP_PAUSE", "_PURGE_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)
    made = Sessions(store, clock, Limits(sessions=4, per_server=2, per_subject=3, per_address=3))
    yield made
    await made.aclose()


async def until(happened) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0)


# ---- limits


async def test_per_server(sessions):
    for number in range(2):
        sessions.add(Fake(sessions, number))
    with pytest.raises(LimitReached, match="per_server of 2"):
        sessions.add(Fake(sessions, 3))
    assert len(sessions) == 2
    sessions.remove(next(iter(sessions)).info())
    sessions.add(Fake(sessions, 3))


async def test_per_subject(sessions):
    for number in range(3):
        sessions.add(Fake(sessions, number, server_id=f"web-{number}"))
    with pytest.raises(LimitReached, match="per_subject of 3"):
        sessions.add(Fake(sessions, 4, server_id="web-4"))
    sessions.add(Fake(sessions, 5, server_id="web-5", subject="bob"))


async def test_per_address_and_in_all_before_a_token_is_looked_at(sessions):
    sessions.admit("192.0.2.1")
    for number in range(3):
        sessions.add(Fake(sessions, number, server_id=f"{number}", subject=f"{number}"))
    with pytest.raises(LimitReached, match="per_address of 3"):
        sessions.admit("192.0.2.1")
    sessions.admit("192.0.2.2")
    sessions.add(Fake(sessions, 4, server_id="4", subject="4", address="192.0.2.2"))
    with pytest.raises(LimitReached, match="sessions of 4"):
        sessions.admit("192.0.2.3")


async def test_those_of_the_same_grant_do_not_count_for_they_are_replaced(sessions):
    older = Fake(sessions, 0, grant_id="g", slow=True)
    sessions.add(older)
    sessions.add(Fake(sessions, 1, grant_id="h"))
    newer = Fake(sessions, 2, grant_id="g")
    sessions.add(newer)
    assert sessions.of_grant("g") == [older, newer]
    sessions.remove(older.info())
    assert sessions.of_grant("g") == [newer]
    with pytest.raises(LimitReached):
        sessions.add(Fake(sessions, 3, grant_id="i"))
    sessions.remove(newer.info())
    assert sessions.of_grant("g") == []


async def test_removing_twice_counts_once(sessions):
    fake = Fake(sessions, 0)
    sessions.add(fake)
    sessions.add(Fake(sessions, 1))
    for _ in range(3):
        sessions.remove(fake.info())
    sessions.add(Fake(sessions, 2))
    with pytest.raises(LimitReached):
        sessions.add(Fake(sessions, 3))


# ---- revocations


@pytest.mark.parametrize(
    ("scope", "value"),
    [(Scope.GRANT, "g0"), (Scope.SESSION, "s0"), (Scope.SERVER, "web-1"), (Scope.SUBJECT, "alice")],
)
async def test_a_revocation_cuts_what_it_names_and_nothing_else(sessions, store, scope, value):
    await sessions.start()
    named = Fake(sessions, 0)
    other = Fake(sessions, 1, server_id="web-2", subject="bob")
    newer = Fake(sessions, 2, issued_at=101.0)
    for fake in (named, other, newer):
        sessions.add(fake)
    await store.revoke(Revocation(scope=scope, value=value, at=100.0))
    await until(lambda: named.reasons)
    assert (named.reasons, other.reasons, newer.reasons) == (["revoked"], [], [])


async def test_a_revocation_that_came_while_a_token_was_redeemed_still_cuts(sessions, store):
    await sessions.start()
    witness = Fake(sessions, 0)
    sessions.add(witness)
    await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=100.0))
    await until(lambda: witness.reasons)
    late = Fake(sessions, 1)
    sessions.add(late)
    assert late.reasons == ["revoked"]
    assert len(sessions) == 0


async def test_old_revocations_are_forgotten(sessions, store, clock):
    await sessions.start()
    for value in ("old", "new"):
        witness = Fake(sessions, 0, server_id=value)
        sessions.add(witness)
        await store.revoke(Revocation(scope=Scope.SERVER, value=value, at=clock.now()))
        await until(lambda: witness.reasons)  # noqa: B023 - asked before the next one
        clock.advance(2 * module.MAX_TTL_SECONDS)
    assert [kept.value for kept in sessions._recent] == ["new"]


async def test_a_store_that_cannot_be_read_stops_the_start(sessions, store):
    store.away = True
    with pytest.raises(StoreUnavailable):
        await sessions.start()
    assert not sessions.watching


async def test_a_store_that_goes_and_comes_back(sessions, store, caplog):
    await sessions.start()
    assert sessions.watching
    store.away = True
    await store.revoke(Revocation(scope=Scope.SERVER, value="nobody", at=1.0))  # wakes who waits
    await until(lambda: not sessions.watching)
    for _ in range(20):
        await asyncio.sleep(0)
    assert caplog.text.count("revocations cannot be read") == 1
    store.away = False
    await until(lambda: sessions.watching)
    fake = Fake(sessions, 0)
    sessions.add(fake)
    await store.revoke(Revocation(scope=Scope.SERVER, value="web-1", at=100.0))
    await until(lambda: fake.reasons)


# ---- the list


async def test_the_list_is_published_and_taken_back(sessions, store):
    await sessions.start()
    fake = Fake(sessions, 0)
    sessions.add(fake)
    await store.kept.wait()
    assert [info.id for info in await store.sessions()] == ["s0"]
    store.kept.clear()
    sessions.remove(fake.info())
    await store.kept.wait()
    assert await store.sessions() == []
    sessions.add(fake)
    await sessions.aclose()
    assert await store.sessions() == []


async def test_a_list_that_cannot_be_written_is_written_later(sessions, store):
    await sessions.start()
    store.away = True
    sessions.add(Fake(sessions, 0))
    for _ in range(20):
        await asyncio.sleep(0)
    store.away = False
    await store.kept.wait()
    assert [info.id for info in await store.sessions()] == ["s0"]


async def test_a_purge_that_fails_is_tried_again(sessions, store):
    await sessions.start()
    for _ in range(2):
        await store.purged.wait()
        store.purged.clear()


async def test_a_store_that_is_away_at_the_end_is_no_failure(sessions, store, caplog):
    await sessions.start()
    store.away = True
    await sessions.aclose()
    assert "could not be cleared" in caplog.text


# ---- the drain


async def test_nobody_new_while_draining(sessions):
    await sessions.drain(0)
    with pytest.raises(Draining):
        sessions.admit("192.0.2.1")


async def test_draining_waits_for_the_last_and_no_longer(sessions):
    fake = Fake(sessions, 0)
    sessions.add(fake)
    draining = asyncio.get_running_loop().create_task(sessions.drain(1000))
    await asyncio.sleep(0)
    assert not draining.done()
    sessions.remove(fake.info())
    await draining
    assert fake.reasons == []


async def test_what_is_left_is_told_to_end_and_waited_for(sessions):
    fakes = [Fake(sessions, number, slow=True) for number in range(2)]
    for fake in fakes:
        sessions.add(fake)
    draining = asyncio.get_running_loop().create_task(sessions.drain(0))
    await until(lambda: all(fake.reasons == ["draining"] for fake in fakes))
    assert not draining.done()
    for fake in fakes:
        sessions.remove(fake.info())
    await draining
