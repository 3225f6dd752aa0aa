"""The store contract over the shipped stores, and over stores that are wrong on purpose."""

from __future__ import annotations

import asyncio
import hmac

import attrs
import databases
import pytest

from consolekit.auth.life import GrantLife
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Scope
from consolekit.testing import TokenStoreContract


class TestMemoryTokenStore(TokenStoreContract):
    async def make_store(self, clock):
        return MemoryTokenStore(clock=clock)


class TestSqliteTokenStore(TokenStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.path = tmp_path / "state" / "tokens.db"

    async def make_store(self, clock):
        return SqliteTokenStore(self.path, clock=clock)


class SqlContract(TokenStoreContract):
    """The ``sql`` store over one kind of database; the contract is run over each below."""

    __test__ = False
    kind = ""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.url = databases.fresh(self.kind, tmp_path)

    async def make_store(self, clock):
        return SqlTokenStore.from_config({"url": self.url}, clock=clock)


class TestSqlTokenStoreOverSqlite(SqlContract):
    __test__ = True
    kind = "sqlite"


class TestSqlTokenStoreOverPostgres(SqlContract):
    __test__ = True
    kind = "postgresql"


class TestSqlTokenStoreOverMariaDb(SqlContract):
    __test__ = True
    kind = "mariadb"


class GetThenDelete(MemoryTokenStore):
    """Looks, waits, writes: what GET and DEL are."""

    async def take(self, token_hash, *, resume_hash=""):
        life = self._lives.get(token_hash)
        if life is None:
            raise TokenRefused("unknown")
        taken = life.taken(self._clock.now(), resume_hash)
        await asyncio.sleep(0)
        self._lives[token_hash] = taken
        return life.grant


class AliveAtExpiry(MemoryTokenStore):
    """``<=`` for ``<``."""

    async def take(self, token_hash, *, resume_hash=""):
        life = self._lives.get(token_hash)
        if life and life.used_at is None and self._clock.now() == life.grant.expires_at:
            return life.grant
        return await super().take(token_hash, resume_hash=resume_hash)


class SpendsWhenAsked(MemoryTokenStore):
    """To look is to take."""

    async def inspect(self, token_hash):
        life = await super().inspect(token_hash)
        self._lives[token_hash] = attrs.evolve(life, used_at=self._clock.now())
        return life

    async def take(self, token_hash, *, resume_hash=""):
        life = await MemoryTokenStore.inspect(self, token_hash)
        self._lives[token_hash] = life.taken(self._clock.now(), resume_hash)
        return life.grant

    async def outcome(self, token_hash, *, resume_hash):
        life = await MemoryTokenStore.inspect(self, token_hash)
        if not life.belongs_to(resume_hash):
            raise TokenRefused("unknown")
        return life.outcome


class FindsByPattern(MemoryTokenStore):
    """``LIKE`` for ``=``: any case, and ``%`` is anything."""

    async def grants(self, *, grant_id=None, server_id=None, subject=None):
        pattern = (server_id or "%").lower()
        found = await super().grants(grant_id=grant_id, subject=subject)
        return [grant for grant in found if pattern in ("%", grant.request.server_id.lower())]


class KeepsTheRawToken(MemoryTokenStore):
    """Takes whatever it is given as a key."""

    async def put(self, token_hash, grant):
        if token_hash in self._lives:
            raise ValueError("already there")
        self._lives[token_hash] = GrantLife(grant=grant)


class IgnoresCase(MemoryTokenStore):
    """A column whose collation ignores case."""

    async def take(self, token_hash, *, resume_hash=""):
        return await super().take(token_hash.lower(), resume_hash=resume_hash)


class ForgetsGrantsOnRevoke(MemoryTokenStore):
    """Tells the live sessions, and leaves the tokens as they are."""

    async def revoke(self, revocation):
        kept = dict(self._lives)
        went = await super().revoke(revocation)
        if revocation.scope is not Scope.SESSION:
            self._lives = kept
        return went


class ForgetsTheKilledSession(MemoryTokenStore):
    """A session that is killed comes back at the next reload."""

    def _grants_of_session(self, revocation):
        return set()


@attrs.frozen(kw_only=True)
class KeylessLife(GrantLife):
    def belongs_to(self, resume_hash):
        return self.used_at is not None and (not resume_hash or super().belongs_to(resume_hash))


@attrs.frozen(kw_only=True)
class EmptyKeyLife(GrantLife):
    def belongs_to(self, resume_hash):
        return self.used_at is not None and hmac.compare_digest(self.resume_hash, resume_hash)


@attrs.frozen(kw_only=True)
class EndlessLife(GrantLife):
    """Its owner may always come back."""

    def taken(self, now, resume_hash):
        if self.belongs_to(resume_hash):
            return attrs.evolve(self, resume_until=now + self.grant.session_seconds)
        return super().taken(now, resume_hash)


@attrs.frozen(kw_only=True)
class LateLife(GrantLife):
    """``<=`` for ``<`` at the resume deadline."""

    def taken(self, now, resume_hash):
        if self.belongs_to(resume_hash) and now == self.resume_until:
            return self
        return super().taken(now, resume_hash)


@attrs.frozen(kw_only=True)
class ProlongedLife(GrantLife):
    """Each release adds to the session's longest life."""

    def released(self, outcome, resume_until):
        life = super().released(outcome, resume_until)
        return life if self.used_at is None else attrs.evolve(life, resume_until=resume_until)


@attrs.frozen(kw_only=True)
class ClosingLife(GrantLife):
    """A resume does not open the window again."""

    def taken(self, now, resume_hash):
        taken = super().taken(now, resume_hash)
        return taken if self.used_at is None else self


def living(life):
    """A memory store whose grants live by other rules."""

    class Store(MemoryTokenStore):
        async def put(self, token_hash, grant):
            await super().put(token_hash, grant)
            self._lives[token_hash] = life(grant=grant)

    return Store


WRONG = {
    "get then delete": (GetThenDelete, {"test_one_of_many_at_once_wins"}),
    "alive at expiry": (AliveAtExpiry, {"test_a_grant_is_dead_at_expiry"}),
    "spends when asked": (SpendsWhenAsked, {"test_inspect_changes_nothing"}),
    "finds by pattern": (FindsByPattern, {"test_grants_are_found_by_name"}),
    "keeps the raw token": (KeepsTheRawToken, {"test_a_raw_token_is_never_kept"}),
    "ignores case": (IgnoresCase, {"test_only_the_exact_hash_opens"}),
    "forgets grants on revoke": (
        ForgetsGrantsOnRevoke,
        {
            "test_a_revocation_removes_what_it_names",
            "test_a_revoked_token_opens_nothing",
            "test_a_revocation_spares_what_is_issued_later",
        },
    ),
    "forgets the killed session": (ForgetsTheKilledSession, {"test_a_killed_session_cannot_resume"}),
    "resume without the key": (
        living(KeylessLife),
        {"test_nobody_resumes_without_the_key", "test_no_key_is_no_key", "test_only_the_token_itself_opens"},
    ),
    "two empty keys are equal": (
        living(EmptyKeyLife),
        {"test_no_key_is_no_key", "test_only_the_token_itself_opens"},
    ),
    "resume after the deadline": (
        living(EndlessLife),
        {
            "test_no_resume_at_the_session_deadline",
            "test_no_resume_at_the_release_deadline",
            "test_release_without_grace_ends_it",
        },
    ),
    "resume at the deadline": (
        living(LateLife),
        {
            "test_no_resume_at_the_session_deadline",
            "test_no_resume_at_the_release_deadline",
            "test_release_without_grace_ends_it",
        },
    ),
    "release prolongs the session": (living(ProlongedLife), {"test_no_resume_at_the_session_deadline"}),
    "resume keeps the old grace": (living(ClosingLife), {"test_a_resume_opens_the_window_again"}),
}


def failed_checks(make_store):
    """Run the whole contract; the names of the checks that fail by their own assertion."""

    class Contract(TokenStoreContract):
        async def make_store(self, clock):
            return make_store(clock)

    failed = set()
    for name in sorted(name for name in dir(Contract) if name.startswith("test_")):
        try:
            getattr(Contract(), name)()
        except AssertionError:
            failed.add(name)
    return failed


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_store_fails_exactly_the_checks_that_name_its_fault(name):
    store, expected = WRONG[name]
    assert failed_checks(lambda clock: store(clock=clock)) == expected


def test_the_right_stores_fail_none():
    assert failed_checks(lambda clock: MemoryTokenStore(clock=clock)) == set()
