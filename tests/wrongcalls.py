"""Test support: providers that do something wrong in a call, or leave something over.

Importable as ``wrongcalls``. Each differs from ``lightsout.LightsOut`` in one thing; ``WRONG`` says which
checks of the kit find it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from typing import ClassVar

from lightsout import LightsContract, LightsOut

from consolekit.core.errors import ConsoleUnavailable, HandshakeError, UnknownServer

CANCELLED = "test_cancelled_anywhere_it_leaves_nothing"


class TakesATicketToCheck(LightsOut):
    async def check(self, request):
        await self.ask("open", request)


class NeverGivesBack(LightsOut):
    async def close(self, endpoint):
        pass


class LetsLibrariesRaise(LightsOut):
    async def ask(self, what, request=None, ticket=""):
        question = {"ask": what, "password": self._password.reveal(), "ticket": ticket}
        if request is not None:
            question |= {"server": request.server_id}
        return self.told(await self.talk(question))


class KeepsItsTicket(LightsOut):
    """One for each server, as if it could be used twice."""

    def __init__(self, **rest):
        super().__init__(**rest)
        self.given = {}

    async def open(self, request):
        if request.server_id not in self.given:
            self.given[request.server_id] = await super().open(request)
        return self.given[request.server_id]

    async def close(self, endpoint):
        for server_id, given in list(self.given.items()):
            if given == endpoint:
                del self.given[server_id]
        await super().close(endpoint)


class LogsThePassword(LightsOut):
    async def talk(self, question):
        logging.getLogger("wrong").debug("asking %s", question)
        return await super().talk(question)


class QuotesThePassword(LightsOut):
    async def talk(self, question):
        answer = await super().talk(question)
        if answer.get("error") == "unknown":
            raise UnknownServer("no such server") from KeyError(json.dumps(question))
        return answer


class QuotesTheTicket(LightsOut):
    """Where the console refuses it."""

    def handshake(self, endpoint):
        try:
            yield from super().handshake(endpoint)
        except HandshakeError as exc:
            raise type(exc)(f"{exc} (ticket {endpoint.secret.reveal()})") from exc


class KnowsTwoStatusesOnly(LightsOut):
    def refused(self, endpoint, status):
        return {401: ConsoleUnavailable("who?"), 403: ConsoleUnavailable("no")}[status]


class SaysARefusalInAWord(LightsOut):
    def refused(self, endpoint, status):
        return "no" if status == 403 else None


class QuotesTheTicketOfARefusal(LightsOut):
    def refused(self, endpoint, status):
        return ConsoleUnavailable(f"{endpoint.secret.reveal()} is no good ({status})")


class ClosesOnce(LightsOut):
    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed")
        self.closed = True


class KeepsItsLock(LightsOut):
    def __init__(self, **rest):
        super().__init__(**rest)
        self.lock = asyncio.Lock()

    async def talk(self, question):
        await self.lock.acquire()
        try:
            answer = await super().talk(question)
        except Exception:
            self.lock.release()
            raise
        self.lock.release()
        return answer


class SwallowsCancellation(LightsOut):
    async def talk(self, question):
        while True:
            try:
                return await super().talk(question)
            except asyncio.CancelledError:
                continue


class LosesItsTicketWhenCancelled(LightsOut):
    """Takes it, and waits once more before it can be given back."""

    async def open(self, request):
        given = await super().open(request)
        await asyncio.sleep(0)
        return given


class BlocksTheLoop(LightsOut):
    async def talk(self, question):
        with socket.create_connection((self._host, self._port)) as link:
            link.sendall(json.dumps(question).encode() + b"\n")
            await asyncio.sleep(0)
            return json.loads(link.makefile().readline())


class CannotBeGivenUp(LightsOut):
    """Shields a call that has no deadline, and waits for it in its end."""

    tasks: ClassVar = ()

    async def talk(self, question):
        task = asyncio.get_running_loop().create_task(super().talk(question))
        self.tasks = (*self.tasks, task)
        return await asyncio.shield(task)

    async def aclose(self):
        await asyncio.gather(*self.tasks, return_exceptions=True)


class MixesUp(LightsOut):
    """Keeps what it works on in itself, as if it were alone."""

    async def open(self, request):
        self.request = request
        await asyncio.sleep(0)
        return await super().open(self.request)


class KeepsItsStateOnTheClass(LightsOut):
    alive: ClassVar = {"yes"}

    def __init__(self, **rest):
        super().__init__(**rest)
        self.alive.add("yes")

    async def open(self, request):
        if not self.alive:
            raise ConsoleUnavailable("closed")
        return await super().open(request)

    async def aclose(self):
        self.alive.clear()


class KeepsALoginForEver(LightsOut):
    """A ticket for its own use that nobody gives back."""

    login = None

    async def open(self, request):
        if self.login is None:
            self.login = await super().open(request)
        return await super().open(request)


class LeavesATask(LightsOut):
    async def open(self, request):
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
        return await super().open(request)


class LeavesAThread(LightsOut):
    end: ClassVar = threading.Event()

    async def open(self, request):
        threading.Thread(target=self.end.wait, daemon=True, name="left").start()
        return await super().open(request)


class LeavesADescriptor(LightsOut):
    left: ClassVar = []

    async def open(self, request):
        self.left.append(os.open("/dev/null", os.O_RDONLY))
        return await super().open(request)


class SaysItAsksNobody(LightsContract):
    asks_nobody: ClassVar = True


class AsksSomebody(LightsOut):
    """Right, and its author says of it what is not so."""

    contract = SaysItAsksNobody


WRONG = {
    TakesATicketToCheck: {"test_check_takes_nothing", CANCELLED},
    NeverGivesBack: {"test_close_gives_back_what_open_took", "test_its_end_gives_everything_back", CANCELLED},
    LetsLibrariesRaise: {"test_every_error_is_one_of_ours"},
    KeepsItsTicket: {"test_each_console_is_fresh"},
    LogsThePassword: {"test_no_log_holds_a_secret"},
    QuotesThePassword: {"test_no_exception_text_holds_a_secret"},
    QuotesTheTicket: {"test_no_exception_text_holds_a_secret"},
    KnowsTwoStatusesOnly: {"test_a_refused_websocket_is_said_in_our_words"},
    SaysARefusalInAWord: {"test_a_refused_websocket_is_said_in_our_words"},
    QuotesTheTicketOfARefusal: {"test_a_refused_websocket_is_said_in_our_words"},
    ClosesOnce: {"test_closing_twice_is_no_error"},
    KeepsItsLock: {CANCELLED},
    SwallowsCancellation: {CANCELLED, "test_a_silent_hypervisor_is_given_up"},
    LosesItsTicketWhenCancelled: {CANCELLED},
    BlocksTheLoop: {"test_a_silent_hypervisor_is_given_up"},
    CannotBeGivenUp: {"test_a_silent_hypervisor_is_given_up", CANCELLED},
    MixesUp: {"test_two_at_once_get_what_is_theirs"},
    KeepsItsStateOnTheClass: {"test_two_providers_share_nothing"},
    KeepsALoginForEver: {"test_its_end_gives_everything_back", CANCELLED},
    LeavesATask: {"test_no_task_is_left", CANCELLED},
    LeavesAThread: {"test_no_thread_is_left"},
    LeavesADescriptor: {"test_no_descriptor_is_left"},
    AsksSomebody: {"test_who_asks_nobody_asks_nobody"},
}
