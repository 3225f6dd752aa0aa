from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from consolekit.core.errors import HypervisorTimeout, HypervisorUnavailable
from consolekit.core.types import SystemClock
from consolekit.providers.vsphere.calls import Call, CallPool
from consolekit.testing.clock import ManualClock


def pool(workers: int = 2) -> CallPool:
    return CallPool(workers, clock=SystemClock(), name="lab")


class TestCall:
    def test_time_runs_out(self) -> None:
        clock = ManualClock()
        call = Call(10, clock)
        clock.advance(4)
        assert call.remaining() == 6
        clock.advance(6)
        with pytest.raises(HypervisorTimeout):
            call.remaining()

    def test_abandoning_ends_what_waits_on_the_socket(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            call = Call(10, ManualClock())
            call.hold(near)
            call.abandon()
            assert near.recv(1) == b""
            assert call.abandoned
            with pytest.raises(HypervisorTimeout):
                call.remaining()

    def test_an_abandoned_call_opens_nothing_more(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            call = Call(10, ManualClock())
            call.abandon()
            with pytest.raises(HypervisorTimeout):
                call.hold(near)
            call.hold(None)  # letting go is always allowed

    def test_a_socket_that_is_gone_already(self) -> None:
        near, far = socket.socketpair()
        far.close()
        near.close()
        call = Call(10, ManualClock())
        call.hold(near)
        call.abandon()
        assert call.abandoned


class TestCallPool:
    async def test_answers(self) -> None:
        calls = pool()
        assert await calls.run(lambda call: call.remaining() > 0, 5)
        await calls.aclose()

    async def test_errors_pass(self) -> None:
        calls = pool()

        def work(_: Call) -> None:
            raise TimeoutError("its own, not the deadline's")

        with pytest.raises(TimeoutError, match="its own"):
            await calls.run(work, 5)
        await calls.aclose()

    async def test_no_more_threads_than_workers(self) -> None:
        calls, gate, started, running, most = pool(2), threading.Event(), threading.Semaphore(0), [], []

        def work(_: Call) -> None:
            started.release()
            running.append(1)
            most.append(len(running))
            gate.wait(30)
            running.pop()

        waiting = [asyncio.get_running_loop().create_task(calls.run(work, 30)) for _ in range(6)]
        for _ in range(2):
            await asyncio.to_thread(started.acquire)
        gate.set()
        await asyncio.gather(*waiting)
        assert max(most) == 2
        await calls.aclose()

    async def test_who_gives_up_breaks_the_call_and_frees_its_thread(self) -> None:
        calls = pool(1)
        near, far = socket.socketpair()
        ended = threading.Event()

        def stuck(call: Call) -> None:
            call.hold(near)
            near.recv(1)  # until abandoned
            ended.set()

        with near, far:
            with pytest.raises(HypervisorTimeout, match=r"within 0\.05 s"):
                await calls.run(stuck, 0.05)
            assert await calls.run(lambda _: "free again", 5) == "free again"
            assert ended.is_set()
        await calls.aclose()

    async def test_waiting_for_a_thread_counts(self) -> None:
        calls, gate = pool(1), threading.Event()
        first = asyncio.get_running_loop().create_task(calls.run(lambda _: gate.wait(30), 30))
        await asyncio.sleep(0)
        with pytest.raises(HypervisorTimeout):
            await calls.run(lambda _: None, 0.05)
        gate.set()
        assert await first
        await calls.aclose()

    async def test_a_slot_is_free_when_its_thread_is_not_when_its_caller_leaves(self) -> None:
        calls, gate, started = pool(1), threading.Event(), threading.Event()

        def deaf(_: Call) -> None:
            started.set()
            gate.wait(30)

        first = asyncio.get_running_loop().create_task(calls.run(deaf, 30))
        await asyncio.to_thread(started.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(HypervisorTimeout):
            await calls.run(lambda _: None, 0.05)
        gate.set()
        assert await calls.run(lambda _: 7, 5) == 7
        await calls.aclose()

    async def test_the_error_of_a_call_that_nobody_waits_for_is_not_shouted(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls, gate = pool(1), threading.Event()

        def late(_: Call) -> None:
            gate.wait(30)
            raise ValueError("late")

        with pytest.raises(HypervisorTimeout):
            await calls.run(late, 0.05)
        gate.set()
        await calls.aclose()
        assert caplog.records == []

    async def test_closed(self) -> None:
        calls = pool()
        await calls.aclose()
        with pytest.raises(HypervisorUnavailable):
            await calls.run(lambda _: None, 5)
        await calls.aclose()
