"""Testing: one model for all token stores, with time as a rule. Needs Hypothesis; knows no particular store.

The model is written from the contract's words alone and shares no code with the stores::

    class MyMachine(TokenStoreMachine):
        async def make_store(self, clock):
            return MyStore(clock=clock)

    TestMyStore = MyMachine.TestCase
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consolekit.auth.base import OWNER_SECONDS, REVOCATION_SECONDS, TokenStore
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Clock, Grant, Revocation, Scope, SessionInfo
from consolekit.testing.clock import ManualClock
from consolekit.testing.examples import example_grant, example_hash, example_session

_T = TypeVar("_T")

TOKENS = st.sampled_from([example_hash(name) for name in "abcd"])
KEYS = st.sampled_from(["", example_hash("key 1"), example_hash("key 2")])
SERVERS = st.sampled_from(["web-1", "web-2"])
SUBJECTS = st.sampled_from(["ann", "bob"])
OWNERS = st.sampled_from(["proxy 1", "proxy 2"])
# Whole seconds, so that boundaries are met exactly and not only passed
STEPS = st.sampled_from([1, 2, 9, 10, 29, 30, 31, 60, 120])
LIVES = st.sampled_from([10, 30, 60])


@attrs.define
class _Kept:
    """What the model knows of one token."""

    grant: Grant
    order: int
    first_take: float | None = None
    owner: str = ""
    deadline: float = 0.0
    outcome: str | None = None

    def live(self, now: float) -> bool:
        return now < (self.grant.expires_at if self.first_take is None else self.deadline)


class TokenStoreMachine(RuleBasedStateMachine):
    """Does what proxies, callers and time do to a store, and compares it with the model at every step."""

    cursor: int

    def __init__(self) -> None:
        super().__init__()
        self.clock: ManualClock = ManualClock()
        self.loop: asyncio.Runner = asyncio.Runner()
        try:
            self.store: TokenStore = self.drive(self.make_store(self.clock))
        except BaseException:
            self.loop.close()
            raise
        self.cursor, _ = self.drive(self.store.revocations(-1))
        self.kept: dict[str, _Kept] = {}
        self.heard: dict[str, tuple[float, dict[str, SessionInfo]]] = {}
        self.orders: list[tuple[float, Revocation]] = []
        self.number: int = 0

    async def make_store(self, clock: Clock) -> TokenStore:
        """An empty store on that clock.

        Raises:
            NotImplementedError: the subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its store is made")

    def drive(self, call: Coroutine[Any, Any, _T]) -> _T:
        """Run one call to its end, always on the same loop."""
        return self.loop.run(call)

    def teardown(self) -> None:
        """Close store and loop."""
        self.drive(self.store.aclose())
        self.loop.close()

    def _next(self) -> int:
        self.number += 1
        return self.number

    @rule(seconds=STEPS)
    def time_passes(self, seconds: int) -> None:
        """Nothing else happens for a while."""
        self.clock.advance(seconds)

    @rule(token=TOKENS)
    def time_passes_to_a_boundary(self, token: str) -> None:
        """Until the very instant at which a token expires or can no longer be resumed."""
        kept = self.kept.get(token)
        if kept is not None:
            instant = kept.grant.expires_at if kept.first_take is None else kept.deadline
            self.clock.advance(max(0.0, instant - self.clock.now()))

    @rule(token=TOKENS, server=SERVERS, subject=SUBJECTS, ttl=LIVES, session=LIVES)
    def put(self, token: str, server: str, subject: str, ttl: int, session: int) -> None:
        """A grant is issued; twice under one token is refused."""
        grant = example_grant(
            self.clock,
            id=f"g{self._next()}",
            server_id=server,
            subject=subject,
            ttl=ttl,
            session_seconds=session,
        )
        try:
            self.drive(self.store.put(token, grant))
        except ValueError:
            assert token in self.kept, "a free token hash was refused"
        else:
            assert token not in self.kept, "a token hash was kept twice"
            self.kept[token] = _Kept(grant, self.number)

    @rule(token=TOKENS, key=KEYS)
    def take(self, token: str, key: str) -> None:
        """A browser shows a token."""
        expected = self._model_take(token, key)
        try:
            given = self.drive(self.store.take(token, resume_hash=key))
        except TokenRefused:
            assert expected is None, f"must be given: {expected}"
        else:
            assert given == expected, f"given: {given}"

    def _model_take(self, token: str, key: str) -> Grant | None:
        kept, now = self.kept.get(token), self.clock.now()
        if kept is None or not kept.live(now):
            return None
        if kept.first_take is None:
            kept.first_take, kept.owner = now, key
        elif not key or kept.owner != key:
            return None
        kept.deadline = kept.first_take + kept.grant.session_seconds
        return kept.grant

    @rule(
        token=TOKENS, outcome=st.sampled_from(["peer_closed", "revoked"]), grace=st.sampled_from([0, 30, 90])
    )
    def release(self, token: str, outcome: str, grace: int) -> None:
        """A session ends."""
        kept, until = self.kept.get(token), self.clock.now() + grace
        grant_id = kept.grant.id if kept else "nobody"
        self.drive(self.store.release(grant_id, outcome=outcome, resume_until=until))
        if kept and kept.first_take is not None:
            kept.outcome = outcome
            kept.deadline = min(until, kept.first_take + kept.grant.session_seconds)

    @rule(token=TOKENS, key=KEYS)
    def outcome(self, token: str, key: str) -> None:
        """A browser asks why it ended."""
        kept = self.kept.get(token)
        ours = kept is not None and kept.first_take is not None and key != "" and kept.owner == key
        try:
            given = self.drive(self.store.outcome(token, resume_hash=key))
        except TokenRefused:
            assert not ours, "its own browser was refused the outcome"
        else:
            assert ours, "the outcome was told to somebody else"
            assert kept is not None
            assert given == kept.outcome

    @rule(data=st.data(), back=st.sampled_from([0, 1, 30]))
    def revoke(self, data: st.DataObject, back: int) -> None:
        """Somebody takes back a grant, a session, or all of a server or a subject."""
        names = {
            Scope.GRANT: sorted(kept.grant.id for kept in self.kept.values()),
            Scope.SESSION: sorted({name for _, infos in self.heard.values() for name in infos}),
            Scope.SERVER: ["web-1", "web-2"],
            Scope.SUBJECT: ["ann", "bob"],
        }
        scope = data.draw(st.sampled_from(list(Scope)))
        value = data.draw(st.sampled_from([*names[scope], "nobody"]))
        order = Revocation(scope=scope, value=value, at=self.clock.now() - back)
        doomed = {token for token, kept in self.kept.items() if self._hit(order, kept.grant)}
        live = sum(self.kept[token].live(self.clock.now()) for token in doomed)
        assert self.drive(self.store.revoke(order)) == live, "wrong count"
        for token in doomed:
            del self.kept[token]
        self.orders.append((self.clock.now(), order))

    def _hit(self, order: Revocation, grant: Grant) -> bool:
        if grant.issued_at > order.at:
            return False
        if order.scope is Scope.SESSION:
            infos = [info for _, named in self.heard.values() for info in named.values()]
            return any(info.id == order.value and info.grant_id == grant.id for info in infos)
        names = {
            Scope.GRANT: grant.id,
            Scope.SERVER: grant.request.server_id,
            Scope.SUBJECT: grant.request.subject,
        }
        return names[order.scope] == order.value

    @precondition(lambda self: self.orders)
    @rule()
    def read_revocations(self) -> None:
        """A proxy hears the orders, each once, in order."""
        self.cursor, found = self.drive(self.store.revocations(self.cursor))
        assert found == [order for _, order in self.orders]
        self.orders.clear()

    @rule(owner=OWNERS, tokens=st.sets(TOKENS))
    def keep_sessions(self, owner: str, tokens: set[str]) -> None:
        """A proxy tells which sessions it has."""
        taken = [self.kept[token].grant for token in sorted(tokens) if token in self.kept]
        infos = [example_session(grant, self.clock, id=f"s{self._next():06}") for grant in taken]
        self.drive(self.store.keep_sessions(owner, infos))
        self.heard[owner] = (self.clock.now(), {info.id: info for info in infos})

    @rule()
    def purge(self) -> None:
        """The minute's cleaning; it may forget only what is past."""
        now = self.clock.now()
        past = {t for t, kept in self.kept.items() if now >= kept.grant.expires_at and not kept.live(now)}
        assert self.drive(self.store.purge()) == len(past), "wrong count"
        for token in past:
            del self.kept[token]
        self.heard = {name: said for name, said in self.heard.items() if now < said[0] + OWNER_SECONDS}
        self.orders = [kept for kept in self.orders if now < kept[0] + REVOCATION_SECONDS]

    @invariant()
    def lists_agree(self) -> None:
        """What is listed is what the model holds, oldest first."""
        now = self.clock.now()
        live = sorted((kept.order, kept.grant) for kept in self.kept.values() if kept.live(now))
        assert self.drive(self.store.grants()) == [grant for _, grant in live]
        of_one = [grant for _, grant in live if grant.request.server_id == "web-1"]
        assert self.drive(self.store.grants(server_id="web-1")) == of_one
        heard = [infos for seen_at, infos in self.heard.values() if now < seen_at + OWNER_SECONDS]
        sessions = sorted((info for infos in heard for info in infos.values()), key=lambda info: info.id)
        assert self.drive(self.store.sessions()) == sessions
