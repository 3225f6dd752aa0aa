from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakevsphere import PASSWORD, Site

from consolekit.core import errors
from consolekit.core.types import Secret, SystemClock
from consolekit.providers.vsphere.api import SessionLost
from consolekit.providers.vsphere.calls import CallPool
from consolekit.providers.vsphere.login import SharedLogin
from consolekit.providers.vsphere.settings import VSphereSettings
from consolekit.testing.clock import ManualClock


class Rig:
    """A login at a site that is told what to answer; time moves only when a test says so."""

    def __init__(self) -> None:
        self.site = Site()
        self.clock = ManualClock()
        self.opened: list[tuple[SharedLogin, CallPool]] = []

    def login(self, **changes: object) -> SharedLogin:
        usual: dict[str, object] = {"host": "vc", "username": "gate", "password": Secret(PASSWORD)}
        settings = VSphereSettings(**{**usual, **changes})  # type: ignore[arg-type]  # by name
        pool = CallPool(settings.workers, clock=SystemClock(), name="lab")
        login = SharedLogin(settings, pool, self.site.connect, clock=self.clock, name="lab")
        self.opened.append((login, pool))
        return login


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    for login, pool in made.opened:
        await login.aclose()
        await pool.aclose()


async def touch(login: SharedLogin) -> None:
    await login.call(lambda call, api: api.touch(call))


async def test_nothing_is_asked_before_it_is_needed(rig: Rig) -> None:
    login = rig.login()
    assert login.api_version == ""
    await login.aclose()
    assert rig.site.asked == []


async def test_one_login_for_all(rig: Rig) -> None:
    login = rig.login()
    await asyncio.gather(*(touch(login) for _ in range(50)))
    await touch(login)
    assert rig.site.logins == [PASSWORD]
    assert login.api_version == "8.0.3.0"


async def test_fifty_callers_of_a_lost_session_log_in_once(rig: Rig) -> None:
    login = rig.login()
    await touch(login)
    rig.site.lose_sessions()
    await asyncio.gather(*(touch(login) for _ in range(50)))
    assert len(rig.site.logins) == 2
    assert rig.site.closed == 1  # the old one's connections


async def test_a_late_loser_does_not_throw_the_new_login_away(rig: Rig) -> None:
    """A call that began before the loss, and ends after the new login."""
    login, gate, begun = rig.login(), threading.Event(), threading.Event()
    await touch(login)

    def late(call: object, api: object) -> str:
        if not begun.is_set():
            begun.set()
            gate.wait(30)
            raise SessionLost
        return "with the new one"

    slow = asyncio.get_running_loop().create_task(login.call(late))
    await asyncio.to_thread(begun.wait)
    rig.site.lose_sessions()
    await touch(login)
    gate.set()
    assert await slow == "with the new one"
    assert len(rig.site.logins) == 2


async def test_a_session_that_is_lost_twice_is_given_up(rig: Rig) -> None:
    login = rig.login()
    rig.site.faults["touch"] = [SessionLost(), SessionLost()]
    with pytest.raises(errors.HypervisorUnavailable, match="lost at once"):
        await touch(login)
    assert len(rig.site.logins) == 2
    await touch(login)  # the next caller starts again
    assert len(rig.site.logins) == 2


async def test_a_waiter_who_leaves_takes_nobody_with_him(rig: Rig) -> None:
    login = rig.login()
    rig.site.gate = threading.Event()
    loop = asyncio.get_running_loop()
    first, second = loop.create_task(touch(login)), loop.create_task(touch(login))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    rig.site.gate.set()
    await second
    assert len(rig.site.logins) == 1


async def test_a_failed_login_that_nobody_waits_for_is_not_shouted(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    login = rig.login()
    rig.site.faults["Login"] = [errors.HypervisorUnavailable("down")]
    caller = asyncio.get_running_loop().create_task(touch(login))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await login.aclose()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


class TestRefusal:
    async def test_is_asked_once_whoever_waits(self, rig: Rig) -> None:
        login = rig.login(password=Secret("wrong"))
        answers = await asyncio.gather(*(touch(login) for _ in range(50)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {errors.HypervisorLoginFailed}
        assert rig.site.logins == ["wrong"]

    async def test_is_remembered_longer_each_time(self, rig: Rig) -> None:
        login = rig.login(password=Secret("wrong"))
        tries = []
        for second in range(3600):
            with pytest.raises(errors.HypervisorLoginFailed):
                await touch(login)
            if len(rig.site.logins) > len(tries):
                tries.append(second)
            rig.clock.advance(1)
        assert tries == [0, 60, 180, 420, 900, 1800, 2700]
        # vCenter: 5 in 3 minutes lock the account
        assert all(sum(start <= t < start + 180 for t in tries) < 5 for start in tries)

    async def test_ends_when_the_password_file_changes(self, rig: Rig, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("wrong\n")
        login = rig.login(password=None, password_file=file)
        for _ in range(3):
            with pytest.raises(errors.HypervisorLoginFailed):
                await touch(login)
        file.write_text(PASSWORD + "\n")
        await touch(login)
        assert rig.site.logins == ["wrong", PASSWORD]

    async def test_is_forgotten_by_success(self, rig: Rig) -> None:
        login = rig.login()
        rig.site.password = "another"
        with pytest.raises(errors.HypervisorLoginFailed):
            await touch(login)
        rig.site.password = PASSWORD
        rig.clock.advance(60)
        await touch(login)
        rig.site.lose_sessions()
        rig.site.password = "another"
        with pytest.raises(errors.HypervisorLoginFailed):
            await touch(login)
        rig.site.password = PASSWORD
        rig.clock.advance(60)  # 60 again, not 120
        await touch(login)

    async def test_tells_the_operator_and_no_secret(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        login = rig.login(password=Secret("c4n4ry-wrong"))
        with pytest.raises(errors.HypervisorLoginFailed) as caught:
            await touch(login)
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "refuses the account 'gate'" in record.getMessage()
        assert "c4n4ry" not in caplog.text + str(caught.value) + repr(login._refusal)


class TestPasswordFile:
    async def test_is_read_at_every_login(self, rig: Rig, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(PASSWORD)
        login = rig.login(password=None, password_file=file)
        await touch(login)
        rig.site.password = "rotated"
        file.write_text("rotated\r\n")
        rig.site.lose_sessions()
        await touch(login)
        assert rig.site.logins == [PASSWORD, "rotated"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8"), (b"c4n4ry" * 1000, "bytes long")],
    )
    async def test_that_cannot_be_meant(self, rig: Rig, tmp_path: Path, content: bytes, said: str) -> None:
        file = tmp_path / "password"
        file.write_bytes(content)
        with pytest.raises(errors.ConsoleUnavailable, match=said) as caught:
            await touch(rig.login(password=None, password_file=file))
        assert "c4n4ry" not in str(caught.value)
        assert rig.site.logins == []

    async def test_that_is_not_there(self, rig: Rig, tmp_path: Path) -> None:
        with pytest.raises(errors.ConsoleUnavailable, match="No such file"):
            await touch(rig.login(password=None, password_file=tmp_path / "none"))


class TestKeepAlive:
    async def test_speaks_while_the_login_is_used(self, rig: Rig) -> None:
        login = rig.login()
        await login.keep_alive()  # nothing to keep
        await touch(login)
        rig.clock.advance(1799)
        await login.keep_alive()
        assert rig.site.asked == ["Login", "touch", "touch"]

    async def test_gives_back_what_is_not_used(self, rig: Rig) -> None:
        login = rig.login()
        await touch(login)
        rig.clock.advance(1800)
        await login.keep_alive()
        assert rig.site.asked[-1] == "logout"
        assert rig.site.alive == set()
        await touch(login)
        assert len(rig.site.logins) == 2

    async def test_notices_a_lost_login(self, rig: Rig) -> None:
        login = rig.login()
        await touch(login)
        rig.site.lose_sessions()
        await login.keep_alive()
        assert len(rig.site.logins) == 1  # nobody asked for a new one yet
        await touch(login)
        assert len(rig.site.logins) == 2
        assert rig.site.asked.count("touch") == 3

    async def test_survives_a_bad_moment(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        login = rig.login()
        await touch(login)
        rig.site.faults["touch"] = [errors.HypervisorTimeout("slow")]
        await login.keep_alive()
        await touch(login)
        assert len(rig.site.logins) == 1
        assert "could not be kept alive: slow" in caplog.text

    async def test_comes_by_itself(self, rig: Rig) -> None:
        login = rig.login(keep_alive_seconds=0.01)
        await touch(login)
        for _ in range(4):  # the login, ours, two of its own
            await asyncio.to_thread(rig.site.came.acquire)
        assert rig.site.asked[:4] == ["Login", "touch", "touch", "touch"]


class TestClosing:
    async def test_logs_out(self, rig: Rig) -> None:
        login = rig.login()
        await touch(login)
        await login.aclose()
        await login.aclose()
        assert rig.site.asked[-1] == "logout"
        assert rig.site.alive == set()
        assert rig.site.closed == 1
        with pytest.raises(errors.HypervisorUnavailable, match="closed"):
            await touch(login)

    async def test_waits_for_a_login_under_way_and_ends_it(self, rig: Rig) -> None:
        login = rig.login()
        rig.site.gate = threading.Event()
        caller = asyncio.get_running_loop().create_task(touch(login))
        await asyncio.to_thread(rig.site.came.acquire)
        closing = asyncio.get_running_loop().create_task(login.aclose())
        await asyncio.sleep(0)
        rig.site.gate.set()
        await closing
        await asyncio.wait([caller])
        assert rig.site.asked[-1] == "logout"
        assert rig.site.alive == set()

    @pytest.mark.parametrize("fault", [SessionLost(), errors.HypervisorTimeout("slow")])
    async def test_does_not_mind_a_failing_logout(self, rig: Rig, fault: Exception) -> None:
        login = rig.login()
        await touch(login)
        rig.site.faults["logout"] = [fault]
        await login.aclose()
        assert rig.site.closed == 1
