"""The session at its worst moments, over real HTTP: lost, refused, hung, restarted, closed."""

from __future__ import annotations

import asyncio
import http.client
import threading
from pathlib import Path
from typing import Any

import pytest
import vcfront
from vcenter import HOST, PASSWORD, Simulator
from vcfront import Front, fronted, until_hung

from consolekit.core import errors
from consolekit.core.types import Secret

pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]


async def test_fifty_waiters_one_login(sessions: Any, front: Front, uuid: str) -> None:
    vsphere = sessions()
    await asyncio.gather(*(vsphere.ticket(uuid, "webmks") for _ in range(50)))
    assert front.calls["Login"] == 1
    front.lose_sessions()
    await asyncio.gather(*(vsphere.ticket(uuid, "webmks") for _ in range(50)))
    assert front.calls["Login"] == 2


async def test_case_43_a_session_that_is_lost_in_the_middle(sessions: Any, front: Front, uuid: str) -> None:
    vsphere = sessions()
    await vsphere.machine(uuid)
    front.when("AcquireTicket", vcfront.fault("NotAuthenticated"), times=1)
    assert (await vsphere.ticket(uuid, "webmks")).ticket
    assert (front.calls["Login"], front.calls["AcquireTicket"]) == (2, 2)


async def test_sessions_that_do_not_last(sessions: Any, front: Front, uuid: str) -> None:
    front.when("AcquireTicket", vcfront.fault("NotAuthenticated"))
    with pytest.raises(errors.HypervisorUnavailable):
        await sessions().ticket(uuid, "webmks")
    assert (front.calls["Login"], front.calls["AcquireTicket"]) == (2, 2)


async def test_case_43_a_refused_account_is_asked_once(sessions: Any, front: Front, uuid: str) -> None:
    vsphere = sessions(password=Secret("c4n4ry-wrong"))
    answers = await asyncio.gather(
        *(vsphere.ticket(uuid, "webmks") for _ in range(50)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {errors.HypervisorLoginFailed}
    assert front.calls["Login"] == 1
    assert not any("c4n4ry" in str(answer) for answer in answers)


async def test_a_rotated_password(sessions: Any, front: Front, uuid: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("yesterday's\n")
    vsphere = sessions(password_file=file)
    with pytest.raises(errors.HypervisorLoginFailed):
        await vsphere.machine(uuid)
    file.write_text(PASSWORD + "\n")
    assert (await vsphere.machine(uuid)).power == "poweredOn"
    assert front.calls["Login"] == 2


async def test_case_44_a_restart_of_vcenter(sessions: Any, front: Front, uuid: str) -> None:
    vsphere = sessions()
    await vsphere.machine(uuid)
    front.lose_sessions()
    front.when("*", vcfront.answer(503, "text/plain", b"no healthy upstream"))
    for _ in range(3):
        with pytest.raises(errors.HypervisorUnavailable):
            await vsphere.ticket(uuid, "webmks")
    front.as_usual()
    assert (await vsphere.ticket(uuid, "webmks")).ticket
    assert front.calls["Login"] == 2


class TestHang:
    async def test_case_44_has_a_deadline_and_bounded_threads(
        self, sessions: Any, front: Front, uuid: str
    ) -> None:
        others = set(threading.enumerate())

        def ours() -> list[threading.Thread]:
            now = set(threading.enumerate()) - others
            return [thread for thread in now if thread.name.startswith("vsphere-lab")]

        vsphere = sessions(call_seconds=2.0, workers=2)
        await vsphere.machine(uuid)
        front.when("AcquireTicket", vcfront.hang)
        waiting = [asyncio.get_running_loop().create_task(vsphere.ticket(uuid, "webmks")) for _ in range(40)]
        await until_hung(front, 2)
        assert len(ours()) == 2
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} == {errors.HypervisorTimeout}
        front.as_usual()
        assert (await vsphere.ticket(uuid, "webmks")).ticket
        assert len(ours()) == 2

    async def test_of_one_vcenter_does_not_touch_another(
        self, sessions: Any, sim: Simulator, front: Front, uuid: str
    ) -> None:
        with fronted(sim.address, sim.authority.issue_cert(HOST)) as other_front:
            hung, other = sessions(workers=2), sessions(port=other_front.port, workers=2)
            front.when("*", vcfront.hang)
            waiting = [asyncio.get_running_loop().create_task(hung.machine(uuid)) for _ in range(40)]
            await until_hung(front)
            for _ in range(20):
                assert (await other.ticket(uuid, "webmks")).ticket
            assert not any(task.done() for task in waiting)
            await hung.aclose()  # ends all of them
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(answer, errors.HypervisorUnavailable) for answer in answers)

    async def test_case_44_never_blocks_the_loop(self, sessions: Any, front: Front, uuid: str) -> None:
        front.when("*", vcfront.hang)
        vsphere = sessions(call_seconds=0.5)
        waiting = asyncio.get_running_loop().create_task(vsphere.machine(uuid))
        turns = 0
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 100
        with pytest.raises(errors.HypervisorTimeout):
            await waiting

    async def test_who_leaves_frees_the_thread(self, sessions: Any, front: Front, uuid: str) -> None:
        vsphere = sessions(workers=1)
        await vsphere.machine(uuid)
        front.when("AcquireTicket", vcfront.hang, times=1)
        viewer = asyncio.get_running_loop().create_task(vsphere.ticket(uuid, "webmks"))
        await until_hung(front)
        viewer.cancel()
        assert (await vsphere.ticket(uuid, "webmks")).ticket


class TestClosing:
    async def test_logs_out(self, sessions: Any, front: Front, uuid: str) -> None:
        vsphere = sessions()
        await vsphere.machine(uuid)
        (cookie,) = front.cookies
        assert _alive(front, cookie)
        await vsphere.aclose()
        assert front.calls["Logout"] == 1
        assert not _alive(front, cookie)
        with pytest.raises(errors.HypervisorUnavailable):
            await vsphere.machine(uuid)

    async def test_waits_for_no_hung_vcenter(self, sessions: Any, front: Front, uuid: str) -> None:
        vsphere = sessions(workers=1)
        await vsphere.machine(uuid)
        front.when("*", vcfront.hang)
        waiting = asyncio.get_running_loop().create_task(vsphere.ticket(uuid, "webmks"))
        await until_hung(front)
        await vsphere.aclose()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], errors.ProviderError)

    async def test_logs_out_even_if_every_thread_hangs(self, sessions: Any, front: Front, uuid: str) -> None:
        vsphere = sessions(workers=1)
        await vsphere.machine(uuid)
        front.when("AcquireTicket", vcfront.hang)
        waiting = asyncio.get_running_loop().create_task(vsphere.ticket(uuid, "webmks"))
        await until_hung(front)
        await vsphere.aclose()
        assert front.calls["Logout"] == 1
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], errors.ProviderError)

    async def test_leaves_nothing_at_vcenter_after_many_losses(
        self, sessions: Any, front: Front, uuid: str
    ) -> None:
        vsphere = sessions()
        for _ in range(5):
            await vsphere.machine(uuid)
            front.lose_sessions()
        await vsphere.machine(uuid)
        await vsphere.aclose()
        assert (front.calls["Login"], front.calls["Logout"]) == (6, 1)


async def test_keeps_itself_alive(sessions: Any, front: Front, uuid: str) -> None:
    asked = threading.Semaphore(0)
    front.when("CurrentTime", lambda handler: (asked.release(), handler.forward())[1])  # type: ignore[func-returns-value]  # both, in order
    vsphere = sessions(keep_alive_seconds=0.02)
    await vsphere.machine(uuid)
    for _ in range(3):
        await asyncio.to_thread(asked.acquire)
    assert front.calls["Login"] == 1


def _alive(front: Front, cookie: str) -> bool:
    """Ask the simulator itself whether a session is valid: who is not logged in may search nothing."""
    search = (
        '<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        '<soapenv:Body><FindByUuid xmlns="urn:vim25"><_this type="SearchIndex">SearchIndex</_this>'
        "<uuid>x</uuid><vmSearch>true</vmSearch></FindByUuid></soapenv:Body></soapenv:Envelope>"
    )
    connection = http.client.HTTPConnection(front.backend, timeout=30)
    try:
        headers = {"Cookie": f'vmware_soap_session="{cookie}"', "Content-Type": "text/xml"}
        connection.request("POST", "/sdk", search.encode(), headers)
        return b"NotAuthenticated" not in connection.getresponse().read()
    finally:
        connection.close()
