"""Testing: cancel a coroutine at each of the places where it waits. Knows asyncio and nothing of ours."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

import attrs


class Moment(enum.Enum):
    """When the cancellation comes, seen from what is waited for."""

    BEFORE = "before it was there"
    BEHIND = (
        "when it was there already"  # and whoever waits has not been told yet: what it holds is lost easily
    )


@attrs.frozen(kw_only=True)
class Cut:
    """How one try went.

    Attributes:
        outcome: What the call gave, or the exception that it raised; CancelledError as a rule.
        reached: False if the call waits less often than that: there is nothing more to cancel.
    """

    outcome: object
    reached: bool


async def cut(call: Callable[[], Coroutine[Any, Any, object]], at: int, moment: Moment) -> Cut:
    """Call it, and cancel it where it waits.

    Args:
        call: Makes the coroutine.
        at: At which of the times that it waits, from 0.
        moment: Before what it waits for is there, or just behind.
    """
    watched = _Watched(call(), at, moment)
    task = asyncio.get_running_loop().create_task(_run(watched))
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return Cut(outcome=outcome, reached=watched.reached)


async def _run(watched: _Watched) -> object:
    return await watched


class _Watched:
    """Hands a coroutine's waiting on to the task, and counts it."""

    def __init__(self, call: Coroutine[Any, Any, object], at: int, moment: Moment) -> None:
        self._call, self._left, self._moment = call, at, moment
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        step: Callable[[], Any] = partial(self._call.send, None)
        while True:
            try:
                wanted = step()
            except StopIteration as end:
                return end.value
            if self._left == 0:
                self._cancel(wanted)
            self._left -= 1
            try:
                answer = yield wanted
            except BaseException as exc:  # the cancellation too: it is the call's to deal with
                step = partial(self._call.throw, exc)
            else:
                step = partial(self._call.send, answer)

    def _cancel(self, wanted: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.reached = True
        if self._moment is Moment.BEFORE:
            task.cancel()  # delivered as soon as the task waits
        elif wanted is None:  # a bare yield, as sleep(0) is
            task.get_loop().call_soon(task.cancel)
        else:
            wanted.add_done_callback(lambda _: task.cancel())  # told before the task is
