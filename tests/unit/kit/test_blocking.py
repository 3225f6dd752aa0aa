"""kit.blocking: the kit from threads, its life, and what it refuses."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from consolesite import PORTAL, SERIAL, VNC, make_site, session

from consolekit import BlockingConsoleKit, ConsoleKit
from consolekit.core.errors import ConfigError, ConsoleUnavailable, NotFound, Problem, UnknownServer
from consolekit.core.types import Scope

GOOD = {"protocol": "vnc", "type": "novnc"}


@pytest.fixture
def kit() -> Iterator[BlockingConsoleKit]:
    with BlockingConsoleKit(lambda: make_site().kit) as blocking:
        yield blocking


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "consolekit"]


def test_every_method_of_the_kit(kit: BlockingConsoleKit) -> None:
    link = kit.create("web-1", GOOD, caller=PORTAL, subject="alice")
    assert kit.inspect(link.token).grant.request.subject == "alice"
    assert [str(offer.key) for offer in kit.offers("web-1", caller=PORTAL)] == ["serial/serial", "vnc/novnc"]
    assert kit.connect_info("web-1", SERIAL, caller=PORTAL)["port"] == 4000
    kit.run(lambda inner: inner.store.keep_sessions("tests", [session("s-1")]))
    (found,) = kit.sessions(caller=PORTAL, server_id="web-1")
    assert (found.id, found.key) == ("s-1", VNC)
    kit.kill("s-1", caller=PORTAL)
    kit.revoke(link.grant_id, caller=PORTAL)
    with pytest.raises(NotFound):
        kit.revoke(link.grant_id, caller=PORTAL)
    assert kit.revoke_all(Scope.SUBJECT, "alice") == 0


def test_it_has_what_the_kit_has_with_the_same_arguments() -> None:
    awaited = {
        name: method
        for name, method in inspect.getmembers(ConsoleKit, inspect.iscoroutinefunction)
        if not name.startswith("_") and name not in ("ask", "aclose")  # for the proxy; here it is close
    }
    for name, method in awaited.items():
        assert inspect.signature(getattr(BlockingConsoleKit, name)) == inspect.signature(method)


def test_errors_are_the_kit_s_own(kit: BlockingConsoleKit) -> None:
    with pytest.raises(UnknownServer):
        kit.create("nobody", GOOD, caller=PORTAL)


def test_many_threads_share_one_kit_in_one_thread(kit: BlockingConsoleKit) -> None:
    with ThreadPoolExecutor(16) as pool:
        links = list(pool.map(lambda _: kit.create("web-1", GOOD, caller=PORTAL), range(64)))
    assert len({link.grant_id for link in links}) == 64
    assert threads() == ["consolekit"]


def test_the_kit_is_closed_with_it() -> None:
    site = make_site()
    with BlockingConsoleKit(lambda: site.kit) as kit:
        kit.offers("web-1", caller=PORTAL)
        assert not site.rack.closed
    assert site.rack.closed
    assert threads() == []
    kit.close()
    with pytest.raises(RuntimeError, match="is closed"):
        kit.offers("web-1", caller=PORTAL)


def test_what_was_never_used_has_no_thread() -> None:
    def never() -> ConsoleKit:
        raise AssertionError("made")

    with BlockingConsoleKit(never):
        assert threads() == []


def test_what_runs_when_it_is_closed_ends() -> None:
    kit, begun = BlockingConsoleKit(lambda: make_site().kit), threading.Event()

    async def endless(_: ConsoleKit) -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kit.run, endless)
        assert begun.wait(10)
        kit.close()
        with pytest.raises(RuntimeError, match="closed meanwhile"):
            waiting.result(10)


def test_nobody_waits_without_end() -> None:
    async def endless(_: ConsoleKit) -> None:
        await asyncio.Event().wait()

    with (
        BlockingConsoleKit(lambda: make_site().kit, timeout=0.01) as kit,
        pytest.raises(ConsoleUnavailable, match=r"within 0\.01 s"),
    ):
        kit.run(endless)


def test_a_kit_that_cannot_be_made_is_tried_again() -> None:
    faults: list[Exception] = [ConfigError([Problem("path", "is not there")])]

    def make() -> ConsoleKit:
        if faults:
            raise faults.pop()
        return make_site().kit

    with BlockingConsoleKit(make) as kit:
        with pytest.raises(ConfigError, match="path: is not there"):
            kit.offers("web-1", caller=PORTAL)
        assert threads() == []
        assert kit.offers("web-1", caller=PORTAL)


async def test_a_running_loop_is_not_stopped() -> None:
    with (
        BlockingConsoleKit(lambda: make_site().kit) as kit,
        pytest.raises(RuntimeError, match="await a ConsoleKit"),
    ):
        kit.offers("web-1", caller=PORTAL)


FORKS = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of threads


def in_a_child(work: Callable[[], None]) -> int:
    """Fork, work, and say how it went: the exit code is 0 where ``work`` returned."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@FORKS
def test_made_before_a_fork_and_used_after_it() -> None:
    kit = BlockingConsoleKit(lambda: make_site().kit)

    def work() -> None:
        assert kit.create("web-1", GOOD, caller=PORTAL).server_id == "web-1"
        kit.close()

    assert in_a_child(work) == 0
    assert kit.create("web-1", GOOD, caller=PORTAL).server_id == "web-1"
    kit.close()


@FORKS
def test_used_before_a_fork_it_is_refused_after_it(kit: BlockingConsoleKit) -> None:
    kit.offers("web-1", caller=PORTAL)

    def work() -> None:
        with pytest.raises(RuntimeError, match="make another in the worker"):
            kit.offers("web-1", caller=PORTAL)
        kit.close()  # the parent's: nothing happens

    assert in_a_child(work) == 0
    assert kit.offers("web-1", caller=PORTAL)


def test_a_script_that_forgets_to_close_ends_in_order() -> None:
    script = (
        "from consolekit import BlockingConsoleKit; from consolesite import *\n"
        "site = make_site(); kit = BlockingConsoleKit(lambda: site.kit)\n"
        "import atexit; atexit.register(lambda: print('closed', site.rack.closed))\n"
        "print(len(kit.offers('web-1', caller=PORTAL)))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\nclosed True\n", "")
