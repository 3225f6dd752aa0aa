import asyncio
import logging
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from consolekit.auth import sqlitefile
from consolekit.auth.sqlitefile import SqliteFile
from consolekit.core.errors import ConfigError, StoreUnavailable

SCHEMA = ("CREATE TABLE t (x)",)


def opened(path):
    return SqliteFile(path, version=1, schema=SCHEMA)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "a.db"


@pytest.fixture
async def file(path):
    file = opened(path)
    yield file
    await file.aclose()


def insert(db):
    db.execute("INSERT INTO t VALUES (1)")


def count(db):
    return db.execute("SELECT count(*) FROM t").fetchone()[0]


async def test_file_and_directory_belong_to_their_owner_alone(path, monkeypatch):
    old = os.umask(0)
    try:
        file = opened(path)
        await file.call(insert, write=True)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await file.aclose()


async def test_a_file_that_everybody_may_read_is_warned_of(path, caplog):
    await opened(path).aclose()
    path.chmod(0o644)
    await opened(path).aclose()
    assert "chmod 600" in caplog.text


async def test_it_uses_a_write_ahead_log(file):
    assert await file.call(lambda db: db.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


async def test_a_call_is_one_transaction(file):
    def half(db):
        insert(db)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        await file.call(half, write=True)
    assert await file.call(count) == 0


async def test_calls_run_in_one_thread_which_is_not_the_loops(file):
    names = {await file.call(lambda db: threading.current_thread().name) for _ in range(5)}
    assert len(names) == 1
    assert threading.current_thread().name not in names


async def test_a_call_that_nobody_waits_for_writes_nothing(file):
    hold, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def block(db):
        loop.call_soon_threadsafe(entered.set)
        hold.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(file.call(block))
        await entered.wait()
        abandoned = loop.create_task(file.call(insert, write=True))
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.wait([abandoned])
        hold.set()
    assert await file.call(count) == 0


async def test_a_call_that_is_given_up_while_it_is_carried_out_writes_nothing(file):
    loop, entered, hold = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slowly(db):
        insert(db)
        loop.call_soon_threadsafe(entered.set)
        hold.wait()

    given_up = loop.create_task(file.call(slowly, write=True))
    await entered.wait()
    others = [loop.create_task(file.call(insert, write=True)) for _ in range(3)]
    given_up.cancel()
    await asyncio.wait([given_up])
    hold.set()
    await asyncio.gather(*others)
    assert await file.call(count) == 3


async def together(file, *works):
    """Orders that the thread finds waiting together; what came of each."""
    loop, entered, hold = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def block(db):
        loop.call_soon_threadsafe(entered.set)
        hold.wait()

    blocker = loop.create_task(file.call(block))
    await entered.wait()
    waiting = [loop.create_task(file.call(work, write=True), name=work.__name__) for work in works]
    await asyncio.sleep(0)  # each has given its order
    hold.set()
    await blocker
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_waits_is_written_in_one_transaction(file):
    statements = []
    await file.call(lambda db: db.set_trace_callback(statements.append))
    statements.clear()
    await together(file, *[insert] * 5)
    assert [each for each in statements if each in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "COMMIT",
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]
    assert await file.call(count) == 5


async def test_one_that_fails_before_it_writes_keeps_nobody_from_writing(file):
    def refuse(db):
        raise KeyError("refused")

    outcomes = await together(file, insert, refuse, insert)
    assert [type(outcome) for outcome in outcomes] == [type(None), KeyError, type(None)]
    assert await file.call(count) == 2


async def test_one_that_fails_after_it_wrote_takes_its_own_back_and_no_others(file):
    def half(db):
        insert(db)
        raise KeyError("stop")

    outcomes = await together(file, insert, half, insert)
    assert [type(outcome) for outcome in outcomes] == [type(None), KeyError, type(None)]
    assert await file.call(count) == 2


async def test_one_that_is_given_up_among_others_writes_nothing(file):
    loop = asyncio.get_running_loop()

    def given_up(db):
        insert(db)
        done = threading.Event()
        loop.call_soon_threadsafe(cancel, done)
        done.wait()

    def cancel(done):
        next(task for task in asyncio.all_tasks() if task.get_name() == "given_up").cancel()
        loop.call_soon(done.set)

    outcomes = await together(file, insert, given_up, insert)
    assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
    assert await file.call(count) == 2


async def test_where_the_file_fails_each_is_told_with_an_error_of_its_own(file):
    def wrong(db):
        db.execute("INSERT INTO missing VALUES (1)")

    outcomes = await together(file, insert, wrong, insert)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert await file.call(count) == 0


async def test_a_call_that_takes_too_long_is_unavailable(file, monkeypatch):
    monkeypatch.setattr(sqlitefile, "STORE_SECONDS", 0.01)
    told = threading.Event()
    try:
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await file.call(lambda _: told.wait())
    finally:
        told.set()


async def test_trouble_is_logged_once_for_each_reason_and_its_end_too(file, caplog):
    def fail(db):
        db.execute("SELECT * FROM missing")

    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            with pytest.raises(StoreUnavailable, match="no such table: missing"):
                await file.call(fail)
        await file.call(insert, write=True)
        await file.call(insert, write=True)
    lines = [record.message for record in caplog.records]
    assert [("unavailable" in line, "works again" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert "no such table: missing" in lines[0]


async def test_a_read_does_not_end_trouble_that_writes_have(file, caplog):
    with pytest.raises(StoreUnavailable):
        await file.call(lambda db: db.execute("INSERT INTO missing VALUES (1)"), write=True)
    await file.call(count)
    assert "works again" not in caplog.text


async def test_a_file_that_was_replaced_is_picked_up(file, path, caplog):
    await file.call(insert, write=True)
    for each in list(path.parent.iterdir()):
        each.unlink()
    assert await file.call(count) == 0
    assert "was replaced" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_damaged_file_is_unavailable_until_it_is_repaired(file, path, caplog):
    for name in ("a.db-wal", "a.db-shm", "a.db"):
        (path.parent / name).unlink()
    path.write_bytes(b"not a database, and longer than a header of one hundred bytes" * 50)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await file.call(insert, write=True)
    assert "is not a SQLite database" in caplog.text
    path.unlink()
    await file.call(insert, write=True)


async def test_a_full_disk_is_unavailable_and_heals(file):
    await file.call(lambda db: db.execute("PRAGMA max_page_count=1").fetchone())
    with pytest.raises(StoreUnavailable, match="full"):
        await file.call(lambda db: db.execute("INSERT INTO t VALUES (zeroblob(100000))"), write=True)
    await file.call(insert, write=True)


async def test_many_open_a_fresh_file_at_once(path):
    files = await asyncio.gather(*(asyncio.to_thread(opened, path) for _ in range(8)))
    for file in files:
        await file.call(insert, write=True)
    assert await files[0].call(count) == 8
    for file in files:
        await file.aclose()


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        opened(path)
    assert [problem.path for problem in caught.value.problems] == ["tokens.path"]
    return str(caught.value)


def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "a.db"
    path.write_text("hello, this is a text file and none of SQLite's" * 10)
    assert "is not a SQLite database" in refusal(path)
    assert path.read_text().startswith("hello"), "it is left as it was"


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version=7", "PRAGMA application_id=5"]
)
def test_another_programs_database_is_refused(tmp_path, statement):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        other.commit()
    if statement == "PRAGMA application_id=5":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
    assert "another program's database" in refusal(path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be opened" in refusal(tmp_path / "file" / "a.db")


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    assert "cannot be opened: unable to open database file" in refusal(tmp_path)


def test_a_name_with_nul_is_refused():
    assert "null" in refusal(Path("a\0b"))


def test_an_old_sqlite_is_refused(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert "3.35 is needed" in refusal(path)


async def test_special_names_are_plain_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory"):
        await opened(Path(name)).aclose()
        assert (tmp_path / name).is_file()


async def test_who_writes_has_the_file_from_the_beginning_and_who_reads_has_not(file, path):
    def another_may_write(db):
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            other.execute("ROLLBACK")
            return True

    assert await file.call(another_may_write) is True
    assert await file.call(another_may_write, write=True) is False


async def test_directories_are_made_however_deep(tmp_path):
    file = opened(tmp_path / "a" / "b" / "c" / "d.db")
    await file.call(insert, write=True)
    await file.aclose()


async def test_what_is_closed_holds_no_descriptor(file, path):
    def held():
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return [link for link in links if os.path.lexists(link) and os.readlink(link).startswith(str(path))]

    await file.call(insert, write=True)
    assert held()
    await file.aclose()
    assert held() == []


async def test_a_refusal_has_sqlites_words_and_their_name(file, path):
    def wrong(db):
        db.execute("SELECT missing")

    with pytest.raises(StoreUnavailable) as caught:
        await file.call(wrong)
    assert str(caught.value) == f"token store {path}: no such column: missing (SQLITE_ERROR)"


def test_a_directory_that_cannot_be_used_is_told_in_the_systems_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path / "file" / "a.db")
    assert caught.value.problems[0].message.endswith("cannot be opened: File exists")
