"""CLI: the parent of several workers: sockets, signals, restarts, one view of their figures.

Serves no console itself. SIGTERM and SIGINT drain the workers, a second one ends them now. SIGHUP starts new
workers, from the configuration and the program as they are now, and lets the old ones keep their consoles:
nothing is refused, nothing is cut. New workers that do not come up change nothing. SIGUSR1 does the same with
the parent itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from tornado.web import Application

from consolekit.cli.figures import Figures, ParentFigures
from consolekit.cli.notify import ServiceManager
from consolekit.cli.successor import predecessor_of, start_successor
from consolekit.cli.worker import Worker
from consolekit.config.model import Config
from consolekit.core.address import Address
from consolekit.core.errors import ConsoleUnavailable, ListenFailed
from consolekit.http.accesslog import log_request
from consolekit.http.application import BoundedApplication
from consolekit.http.handler import Handler, NotFoundHandler
from consolekit.net.inherited import take_inherited
from consolekit.net.listener import Listener

_log = logging.getLogger(__name__)
_START_SECONDS = 60.0
_QUICK_SECONDS = 5.0  # after two that end sooner than this, the next one waits as long
_WATCH_SECONDS = 5.0


class Supervisor:
    """Keeps so many workers running on the same sockets; make it inside the running loop.

    Args:
        config: What the operator decided, for addresses and the number of workers, who read it themselves.
        roles: What the workers serve: ``proxy``, ``api``.
        arguments: The command line that the workers get.
        manager: Who started us.

    Raises:
        ListenFailed: there is no place for the sockets between parent and workers.
    """

    def __init__(
        self, config: Config, roles: Sequence[str], arguments: Sequence[str], manager: ServiceManager
    ) -> None:
        self._config, self._roles, self._arguments, self._manager = config, roles, arguments, manager
        self._listeners: dict[str, Listener] = {}
        self._workers: list[Worker] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._folder = _private_folder()
        self._figures = Figures()
        self._own = ParentFigures(
            serving=lambda: sum(worker.ready.is_set() and not worker.leaving for worker in self._workers),
            leaving=lambda: sum(worker.leaving for worker in self._workers),
        )
        self._stop, self._reload = asyncio.Event(), asyncio.Lock()
        self._succeeded = False

    async def start(self) -> None:
        """Listen, and start the workers; back when every one of them serves.

        Raises:
            ListenFailed: an address cannot be had, or a worker did not come up; its own words are in the log.
        """
        inherited = take_inherited(os.environ, (*self._roles, "admin"))
        addresses = {"proxy": self._config.proxy.listen, "api": self._config.api.listen}
        for role in self._roles:
            self._listen(role, addresses[role], inherited.get(role, ()))
        if self._config.admin.listen is not None or "admin" in inherited:
            address = self._config.admin.listen or Address("127.0.0.1", 0)
            self._listen("admin", address, inherited.get("admin", ())).start(self._application())
            url = f"http://{address.host}:{self._listeners['admin'].port}"
            _log.info("metrics and probes on %s", url)
        if not await self._started(self._config.proxy.workers):
            raise ListenFailed("a worker did not come up; what it said stands above")

    def _listen(self, name: str, address: Address, sockets: Sequence[socket.socket]) -> Listener:
        listener = self._listeners[name] = Listener(address.host, address.port, sockets=sockets)
        try:
            listener.bind()
        except OSError as exc:
            raise ListenFailed(f"cannot listen on {address}: {exc.strerror or exc}") from exc
        return listener

    async def _started(self, count: int, *, quick: bool = False) -> bool:
        """Start workers; True if all serve, else none of them is left. ``quick``: for one that ended soon."""
        shared = {role: self._listeners[role].sockets for role in self._roles}
        new = [Worker(next(self._numbers), self._arguments, shared, self._folder) for _ in range(count)]
        if await self._spawned(new, quick) and await self._all_ready(new):
            return True
        for worker in new:
            worker.leaving = True
            worker.tell(signal.SIGTERM)
        return False

    async def _spawned(self, new: Sequence[Worker], quick: bool) -> bool:
        for worker in new:
            try:
                await worker.start()
            except OSError as exc:
                _log.error("a worker cannot be started: %s", exc.strerror or exc)
                return False
            self._workers.append(worker)
            self._watch(worker, quick)
        return True

    async def _all_ready(self, new: Sequence[Worker]) -> bool:
        try:
            async with asyncio.timeout(_START_SECONDS):
                for worker in new:
                    await worker.ready.wait()
        except TimeoutError:
            return False
        return all(worker in self._workers for worker in new)

    def _watch(self, worker: Worker, again: bool) -> None:
        task = asyncio.get_running_loop().create_task(self._follow(worker, again))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _follow(self, worker: Worker, again: bool) -> None:
        """Wait for a worker's end; start another in its place, unless it was told to go."""
        began = asyncio.get_running_loop().time()
        code = await worker.ended()
        self._workers.remove(worker)
        self._figures.keep(worker.figures)
        came_up = worker.ready.is_set()
        worker.ready.set()  # nobody need wait for it any longer
        if worker.leaving or self._stop.is_set():
            _log.info("worker %d has ended: %d", worker.number, code)
            return
        self._own.died += 1
        _log.error("worker %d ended by itself: %s", worker.number, _how(code))
        if not came_up:
            return  # whoever waits for it decides
        quick = asyncio.get_running_loop().time() - began < _QUICK_SECONDS
        if quick and again:
            await asyncio.sleep(_QUICK_SECONDS)
        while not self._stop.is_set() and not await self._started(1, quick=quick):
            _log.error("no worker could be started in its place; the next try is in %g s", _QUICK_SECONDS)
            await asyncio.sleep(_QUICK_SECONDS)

    # ---- signals

    def stop(self) -> None:
        """End: the first time the workers drain, the second time they end now."""
        self._end(signal.SIGTERM)

    def report(self) -> None:
        """Have every worker write its sessions and tasks to the log."""
        for worker in self._workers:
            if worker.ready.is_set():  # before, the signal would end it
                worker.tell(signal.SIGUSR2)

    async def reload(self) -> None:
        """Put new workers in the place of the old ones, which stay for as long as their consoles live."""
        async with self._reload:
            if self._stop.is_set():
                return
            old = [worker for worker in self._workers if not worker.leaving]
            self._manager.reloading()
            _log.info("reload: starting %d new workers", self._config.proxy.workers)
            if await self._started(self._config.proxy.workers):
                for worker in old:
                    worker.leaving = True
                    worker.tell(signal.SIGUSR1)
                _log.info("reload: new workers serve; the old ones end with their last console")
            else:
                _log.error("reload: the new workers did not come up, so everything stays as it was")
            self._manager.tell(READY="1")

    async def hand_over(self) -> None:
        """Have another parent take our place, on the same sockets; workers end with their last console."""
        async with self._reload:
            if self._stop.is_set():
                return
            _log.info("upgrade: starting the program anew")
            named = [(name, sock) for name, listener in self._listeners.items() for sock in listener.sockets]
            try:
                successor = await start_successor(self._arguments, named, self._succeeded_by)
            except OSError as exc:
                _log.error("upgrade: the program cannot be started: %s", exc.strerror or exc)
                return
            if successor is None:
                _log.error("upgrade: the new program does not serve, so everything stays as it was")
                return
            self._succeeded = True
            self._end(signal.SIGUSR1)
            if "admin" in self._listeners:
                self._listeners["admin"].stop()
            _log.info("upgrade: process %d serves; this one ends with its last console", successor)

    def _succeeded_by(self, successor: int) -> None:
        # the watchdog's time begins anew: what the successor says is heard from now on, what we say is not
        self._manager.tell(MAINPID=f"{successor}", WATCHDOG="1")
        self._manager.close()

    def _end(self, how: signal.Signals) -> None:
        self._stop.set()
        for role in self._roles:  # else who connects would wait for nobody
            self._listeners[role].stop()
        for worker in self._workers:
            worker.leaving = True
            worker.tell(how)

    async def wait(self) -> int:
        """Until somebody calls ``stop`` or has our place, and the last worker has ended; the exit code."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._stop.wait()
            for worker in self._workers:
                if worker.silent(loop.time()):
                    _log.error("worker %d does not answer any more: killed", worker.number)
                    worker.tell(signal.SIGKILL)
        if not self._succeeded:  # else the service goes on
            self._manager.stopping()
        await asyncio.gather(*self._watchers)
        return 0

    async def aclose(self) -> None:
        """Close the sockets; no worker is left behind."""
        for worker in self._workers:
            worker.leaving = True
            worker.tell(signal.SIGKILL)
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for listener in self._listeners.values():
            await listener.aclose()
        self._folder.rmdir()
        self._manager.close()

    # ---- the one view

    async def metrics(self) -> bytes:
        """The sum of what every worker counts, the leaving ones too."""
        await asyncio.gather(*(self._ask(worker, "/metrics") for worker in self._workers))
        return self._figures.page((worker.figures for worker in self._workers), self._own.collect())

    async def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether every worker that takes new consoles is ready, and what each says."""
        serving = [worker for worker in self._workers if not worker.leaving]
        answers = await asyncio.gather(*(self._ask(worker, "/readyz") for worker in serving))
        ready = len(serving) >= self._config.proxy.workers and all(status == 200 for status, _ in answers)
        checks = {f"worker {worker.number}": body for worker, (_, body) in zip(serving, answers, strict=True)}
        return ready and not self._stop.is_set(), checks

    async def _ask(self, worker: Worker, path: str) -> tuple[int, object]:
        try:
            status, text = await worker.ask(path)
        except ConsoleUnavailable as exc:
            return 503, str(exc)
        return status, json.loads(text)["checks"] if path == "/readyz" else None

    def _application(self) -> Application:
        around = {"supervisor": self}
        routes: list[Any] = [
            (r"/healthz", Healthz),
            (r"/readyz", Readyz, around),
            (r"/metrics", Metrics, around),
        ]
        return BoundedApplication(
            routes, default_handler_class=NotFoundHandler, log_function=log_request, hosts=frozenset()
        )


def _private_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="consolekit-"))
    except OSError as exc:
        raise ListenFailed(
            f"no directory can be made for the sockets between parent and workers: {exc.strerror}; "
            "make /tmp writable, or let TMPDIR name one that is"
        ) from exc


class Healthz(Handler):
    """``/healthz``: the parent lives."""

    any_host = True

    def get(self) -> None:
        """Say so."""
        self.finish({"status": "ok"})


class Readyz(Handler):
    """``/readyz``: every worker takes new consoles."""

    any_host = True

    def initialize(self, supervisor: Supervisor) -> None:
        """Take what the application wired."""
        self._supervisor = supervisor

    async def get(self) -> None:
        """200, or 503 with what each worker says."""
        ready, checks = await self._supervisor.readiness()
        self.set_status(200 if ready else 503)
        self.finish({"status": "ready" if ready else "not ready", "checks": checks})


class Metrics(Handler):
    """``/metrics``: the sum over all workers."""

    any_host = True

    def initialize(self, supervisor: Supervisor) -> None:
        """Take what the application wired."""
        self._supervisor = supervisor

    async def get(self) -> None:
        """Every figure as of now."""
        page = await self._supervisor.metrics()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(page)


def _how(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def run(config: Config, *, proxy: bool, api: bool) -> int:
    """Keep workers running until a signal says otherwise; the exit code.

    Raises:
        ConsoleKitError: what the operator has to mend; nothing is served.
    """
    roles = [name for name, wanted in (("proxy", proxy), ("api", api)) if wanted]
    return asyncio.run(_run(config, roles))


async def _run(config: Config, roles: Sequence[str]) -> int:
    manager, tell_predecessor = ServiceManager(os.environ), predecessor_of(os.environ)
    supervisor = Supervisor(config, roles, sys.argv[1:], manager)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    orders: set[asyncio.Task[None]] = set()

    def begin(order: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = loop.create_task(order())
        orders.add(task)
        task.add_done_callback(orders.discard)

    loop.add_signal_handler(signal.SIGHUP, begin, supervisor.reload)
    loop.add_signal_handler(signal.SIGUSR1, begin, supervisor.hand_over)
    loop.add_signal_handler(signal.SIGUSR2, supervisor.report)
    try:
        await supervisor.start()
        await tell_predecessor()
        manager.ready()
        return await supervisor.wait()
    finally:
        await asyncio.gather(*orders, return_exceptions=True)
        await supervisor.aclose()
