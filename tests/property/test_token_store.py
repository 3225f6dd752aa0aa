"""Every store against the one model; the model against stores with planted faults; records, both ways."""

from __future__ import annotations

import shutil
import string
import tempfile
from pathlib import Path

import attrs
import databases
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from profiles import examples

from consolekit.auth.life import GrantLife
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.records import grant_text, read_grant, read_session, session_text
from consolekit.auth.sql import SqlTokenStore
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.auth.stored import hash_token
from consolekit.core.errors import TokenRefused
from consolekit.core.types import ConsoleKey, ConsoleRequest, Grant, Secret, SessionInfo
from consolekit.testing.token_machine import TokenStoreMachine

# To find a planted fault is enough: making its example small takes ten times as long. No profile: that the
# model finds it within so many steps is what is shown.
HUNT = settings(
    max_examples=10_000,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    database=None,
    derandomize=True,
)


class MemoryMachine(TokenStoreMachine):
    async def make_store(self, clock):
        return MemoryTokenStore(clock=clock)


class SqliteMachine(TokenStoreMachine):
    async def make_store(self, clock):
        self.directory = Path(tempfile.mkdtemp())
        return SqliteTokenStore(self.directory / "tokens.db", clock=clock)

    def teardown(self):
        super().teardown()
        shutil.rmtree(self.directory)


class SqlMachine(TokenStoreMachine):
    kind = ""

    async def make_store(self, clock):
        self.directory = Path(tempfile.mkdtemp())
        return SqlTokenStore.from_config({"url": databases.fresh(self.kind, self.directory)}, clock=clock)

    def teardown(self):
        super().teardown()
        shutil.rmtree(self.directory)


class SqlOverSqliteMachine(SqlMachine):
    kind = "sqlite"


class SqlOverPostgresMachine(SqlMachine):
    kind = "postgresql"


class SqlOverMariaDbMachine(SqlMachine):
    kind = "mariadb"


class TestMemory(MemoryMachine.TestCase):
    settings = examples(200)


class TestSqlite(SqliteMachine.TestCase):
    settings = examples(50)


class TestSqlOverSqlite(SqlOverSqliteMachine.TestCase):
    settings = examples(15)


class TestSqlOverPostgres(SqlOverPostgresMachine.TestCase):
    settings = examples(15)


class TestSqlOverMariaDb(SqlOverMariaDbMachine.TestCase):
    settings = examples(15)


@attrs.frozen(kw_only=True)
class LateLife(GrantLife):
    def taken(self, now, resume_hash):
        if self.used_at is None and now == self.grant.expires_at:
            return attrs.evolve(self, used_at=now, resume_hash=resume_hash, resume_until=now + 10)
        return super().taken(now, resume_hash)


@attrs.frozen(kw_only=True)
class ForgottenLife(GrantLife):
    def forgettable(self, now):
        return now >= self.grant.expires_at


@attrs.frozen(kw_only=True)
class SharedLife(GrantLife):
    def belongs_to(self, resume_hash):
        return self.used_at is not None and bool(resume_hash)


@pytest.mark.parametrize("life", [LateLife, ForgottenLife, SharedLife], ids=lambda life: life.__name__)
def test_the_model_finds_a_planted_fault(life):
    class Store(MemoryTokenStore):
        async def put(self, token_hash, grant):
            await super().put(token_hash, grant)
            self._lives[token_hash] = life(grant=grant)

    class Machine(TokenStoreMachine):
        async def make_store(self, clock):
            return Store(clock=clock)

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=HUNT)


texts = st.text(max_size=40)
times = st.floats(allow_nan=False, allow_infinity=False)
words = st.sampled_from(["vnc", "novnc", "mks", "webmks", "spice-html5"])
keys = st.builds(ConsoleKey, words, words)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | times | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
requests = st.builds(
    ConsoleRequest,
    key=keys,
    server_id=texts,
    subject=texts,
    params=st.dictionaries(texts, json_values, max_size=3),
)
grants = st.builds(
    Grant,
    id=texts,
    request=requests,
    provider=texts,
    issued_at=times,
    expires_at=times,
    session_seconds=times,
)
infos = st.builds(
    SessionInfo,
    id=texts,
    grant_id=texts,
    key=keys,
    server_id=texts,
    subject=texts,
    address=texts,
    started_at=times,
    issued_at=times,
    bytes_in=st.integers(min_value=0),
    bytes_out=st.integers(min_value=0),
    ended_at=st.none() | times,
    reason=texts,
)


@given(grants)
def test_a_grant_comes_back_as_it_was(grant):
    assert read_grant(grant_text(grant)) == grant


@given(infos)
def test_a_session_info_comes_back_as_it_was(info):
    assert read_session(session_text(info)) == info


@given(
    st.text()
    | st.text(alphabet=string.ascii_letters + string.digits + "_-", min_size=40, max_size=50).map(
        "ckt_".__add__
    )
)
def test_hashing_takes_exactly_the_shape_of_a_token(text):
    shaped = (
        text.startswith("ckt_")
        and len(text) == 47
        and set(text) <= set(string.ascii_letters + string.digits + "_-")
    )
    if shaped:
        assert len(hash_token(Secret(text))) == 64
    else:
        with pytest.raises(TokenRefused, match="malformed"):
            hash_token(Secret(text))
