"""Test support: what is done to a fleet: revocations, a store that goes away, a proxy that is killed.

Importable as ``drills``. Each gives its figures; ``tests/integration/test_fleet.py`` looks at what must be so
without them, ``benchmarks/fleet.py`` keeps them. Seconds everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import attrs
import websockets
from fleet import Answer, Fleet, Role, ask
from fleetviewer import PATIENCE, Link, Viewer
from gateway import resume_key

REVOKED = 4000
WAYS = ("grant by the API", "server by the command", "subject by the command", "session by the command")

Figures = dict[str, Any]


def _now() -> float:
    return asyncio.get_running_loop().time()


# ---- revoke


async def revoke(fleet: Fleet, way: str, number: int) -> Figures:
    """Open a console through HAProxy, end it from elsewhere, and wait until its browser has heard of it."""
    viewer = await fleet.viewer(f"s{number}", subject=f"user{number}")
    try:
        await viewer.carries()
        host = fleet.network.hosts[number % 2]
        words = await _words(fleet, way, viewer)
        begun = _now()
        if words:
            code, said = await fleet.command(*words, host=host)
            assert code == 0, said
        else:
            answer = await fleet.call("DELETE", f"/grants/{viewer.link.grant}")
            assert answer.status == 204, answer
        ordered = _now()
        cut = await viewer.over()
        refused = await attempt(fleet, viewer.link, resume=viewer.key)
        return {
            "way": way,
            "code": viewer.code,
            "since_begun": cut - begun,
            "since_done": max(0.0, cut - ordered),
            "order": ordered - begun,
            "again": refused.status,
        }
    finally:
        await viewer.close()


async def _words(fleet: Fleet, way: str, viewer: Viewer) -> tuple[str, ...]:
    """The command's words; none where the API is asked."""
    if way == WAYS[0]:
        return ()
    if way == WAYS[1]:
        return ("token", "revoke", "--server", viewer.server)
    if way == WAYS[2]:
        return ("token", "revoke", "--subject", viewer.subject)
    return ("sessions", "kill", await session_of(fleet, viewer))


async def listed(fleet: Fleet) -> dict[str, Figures]:
    """The live sessions that the API knows, by id."""
    answer = await fleet.call("GET", "/sessions")
    assert answer.status == 200, answer
    return {each["session_id"]: each for each in answer.json["sessions"]}


async def session_of(fleet: Fleet, viewer: Viewer) -> str:
    """The id of a viewer's session, once it is listed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for session, said in (await listed(fleet)).items():
                if said["grant_id"] == viewer.link.grant:
                    return session
            await asyncio.sleep(0.05)


async def seen_from(fleet: Fleet) -> str:
    """The address of a viewer that has come through HAProxy, as the session list shows it."""
    viewer = await fleet.viewer()
    try:
        session = await session_of(fleet, viewer)
        return str((await listed(fleet))[session]["address"])
    finally:
        await viewer.close()


# ---- one token, one session


async def attempt(fleet: Fleet, link: Link, *, resume: str, at: Role | None = None) -> Answer:
    """Show a token; what came back. 101 is closed again at once, 0: nobody was there."""
    try:
        async with fleet.connect(link, resume=resume, at=at):
            return Answer(101)
    except websockets.InvalidStatus as refusal:
        reply = refusal.response
        return Answer(reply.status_code, dict(reply.headers.raw_items()), bytes(reply.body))
    except (OSError, websockets.InvalidMessage):
        return Answer(0)


async def one_browser(fleet: Fleet) -> Figures:
    """A token that one proxy has redeemed, at all others; and its own browser, cut from its proxy."""
    first, *others = fleet.proxies
    viewer = await fleet.viewer(at=first)
    try:
        strangers = [await attempt(fleet, viewer.link, resume=resume_key(), at=other) for other in others]
        viewer.socket.transport.abort()  # its network is gone; nobody says goodbye
        await viewer.over()
        back = await fleet.viewer(link=viewer.link, key=viewer.key, at=others[-1])
        try:
            await back.carries()
        finally:
            await back.close()
        return {"strangers": [answer.status for answer in strangers], "resumed": back.beats > 0}
    finally:
        await viewer.close()


# ---- the store goes away


@attrs.define
class Probe:
    """What new consoles got while the store was away."""

    statuses: Counter[int] = attrs.field(factory=Counter)
    slowest: float = 0.0
    without_retry_after: int = 0

    async def look(self, what: Awaitable[Answer]) -> Answer:
        begun = _now()
        answer = await what
        self.slowest = max(self.slowest, _now() - begun)
        self.statuses[answer.status] += 1
        names = {name.lower() for name in answer.headers}
        self.without_retry_after += answer.status == 503 and "retry-after" not in names
        return answer

    def figures(self) -> Figures:
        return {
            "statuses": dict(self.statuses),
            "slowest": self.slowest,
            "without_retry_after": self.without_retry_after,
        }


@contextlib.asynccontextmanager
async def frozen(fleet: Fleet) -> AsyncIterator[None]:
    """The store's server stands still."""
    with fleet.store.frozen():
        yield


@contextlib.asynccontextmanager
async def killed(fleet: Fleet) -> AsyncIterator[None]:
    """The store's server is killed, and started again at the end."""
    fleet.store.kill()
    try:
        yield
    finally:
        await asyncio.to_thread(fleet.store.start)


AWAY = {"frozen": frozen, "killed": killed}


async def outage(
    fleet: Fleet, how: str, *, viewers: int, seconds: float = 0.0, steady: float = 0.0
) -> Figures:
    """Take the store away from live consoles, ask for new ones, give it back, and order a revocation.

    Args:
        fleet: The fleet.
        how: One of ``AWAY``.
        viewers: Live consoles, beside one on each proxy that will be revoked.
        seconds: How long at least; then until all proxies say that they do not hear of revocations.
        steady: How long new consoles must open, one after the other, until that counts as healed.
    """
    async with AsyncExitStack() as stack:
        live = [await _with(stack, fleet.viewer(f"s{at}")) for at in range(viewers)]
        leavers = [await _with(stack, fleet.viewer(subject="leaver", at=each)) for each in fleet.proxies]
        await _carry(*live, *leavers)
        links = [await fleet.link() for _ in fleet.proxies]
        probes = {name: Probe() for name in ("API", "proxy", "HAProxy")}
        keys = [resume_key() for _ in links]
        async with AWAY[how](fleet):
            gone = _now()
            unready = await _probed(fleet, probes, links, keys, gone + seconds)
            away = _now() - gone
        back = _now()
        async with asyncio.TaskGroup() as group:
            ready = [group.create_task(_when(functools.partial(_hears, each))) for each in fleet.proxies]
            new = group.create_task(_healed(fleet, steady))
            order = group.create_task(_order(fleet))
        await fleet.in_rotation()
        cuts = [await viewer.over() for viewer in leavers]
        again = [await attempt(fleet, link, resume=key) for link, key in zip(links, keys, strict=True)]
        await _carry(*(viewer for viewer in live if viewer.whole))
        return {
            "how": how,
            "away": away,
            "viewers": len(live),
            "lived": sum(viewer.whole for viewer in live),
            "unready_after": unready - gone,
            "new": {name: probe.figures() for name, probe in probes.items()},
            "first_new": new.result()[0] - back,
            "healed": new.result()[1] - back,
            "ready_after": [task.result() - back for task in ready],
            "ordered_after": order.result() - back,
            "cut_after_order": max(0.0, max(cuts) - order.result()),
            "cut": Counter(viewer.code for viewer in leavers)[REVOKED],
            "leavers": len(leavers),
            "refused_token_again": [answer.status for answer in again],
        }


async def _with(stack: AsyncExitStack, opening: Awaitable[Viewer]) -> Viewer:
    viewer = await opening
    stack.push_async_callback(viewer.close)
    return viewer


async def _carry(*viewers: Viewer) -> None:
    async with asyncio.TaskGroup() as group:
        for viewer in viewers:
            group.create_task(viewer.carries())


async def _probed(
    fleet: Fleet, probes: dict[str, Probe], links: list[Link], keys: list[str], until: float
) -> float:
    """Ask for new consoles, everywhere, once a second; when all proxies had said that they hear nothing."""
    unready = 0.0
    while _now() < until or not unready:
        begun = _now()
        async with asyncio.TaskGroup() as group:
            group.create_task(probes["API"].look(fleet.try_link()))
            shown = zip(fleet.proxies, links, keys, strict=True)
            for proxy, link, key in shown:
                group.create_task(probes["proxy"].look(attempt(fleet, link, resume=key, at=proxy)))
            group.create_task(probes["HAProxy"].look(attempt(fleet, links[0], resume=keys[0])))
            heard = group.create_task(_anybody_hears(fleet))
        if not unready and not heard.result():
            unready = _now()
        await asyncio.sleep(max(0.0, begun + 1.0 - _now()))
    return unready


async def _anybody_hears(fleet: Fleet) -> bool:
    return any([(await each.readiness()).get("revocations", False) for each in fleet.proxies])


async def _hears(proxy: Role) -> bool:
    return (await ask("GET", proxy.url + "/readyz")).status == 200


async def _opens(fleet: Fleet) -> bool:
    """Whether a new console opens, from the API's link to the 101 through HAProxy."""
    answer = await fleet.try_link("s1")
    if answer.status != 200:
        return False
    link = Link(answer.json["grant_id"], answer.json["url"].partition("token=")[2].partition("&")[0])
    return (await attempt(fleet, link, resume=resume_key())).status == 101


async def _healed(fleet: Fleet, steady: float) -> tuple[float, float]:
    """When the first new console opened, and from when on all of them did for a while.

    The two differ: a front that looks once a second may notice late that nobody was ready.
    """
    first = since = 0.0
    async with asyncio.timeout(PATIENCE):
        while not since or _now() < since + steady:
            begun = _now()
            if await _opens(fleet):
                first, since = first or _now(), since or _now()
            else:
                since = 0.0
            await asyncio.sleep(max(0.0, begun + 0.1 - _now()))
    return first, since


async def _when(true: Callable[[], Awaitable[bool]]) -> float:
    """Wait until it is so; when that was."""
    async with asyncio.timeout(PATIENCE):
        while not await true():
            await asyncio.sleep(0.05)
    return _now()


async def _order(fleet: Fleet) -> float:
    """Revoke the leavers as soon as the store takes the order; when it did."""
    words = ("token", "revoke", "--subject", "leaver")
    async with asyncio.timeout(PATIENCE):
        while (await fleet.command(*words))[0] != 0:
            pass
    return _now()


# ---- a proxy dies


async def death(fleet: Fleet, *, viewers: int, until_forgotten: bool = False) -> Figures:
    """Kill a proxy that has consoles while others have some too; then start it again.

    Args:
        fleet: The fleet.
        viewers: Open consoles.
        until_forgotten: Wait until its sessions are not listed any more either: they are while it might only
            be late.
    """
    async with AsyncExitStack() as stack:
        live = [await _with(stack, fleet.viewer(f"s{at}")) for at in range(viewers)]
        places = {viewer: await fleet.proxy_of(viewer.link.grant) for viewer in live}
        sessions = {viewer: await session_of(fleet, viewer) for viewer in live}
        victim = places[live[0]]
        victim.kill()
        begun = _now()
        theirs = [viewer for viewer in live if places[viewer] is victim]
        for viewer in theirs:
            await viewer.over()
        told = _now() - begun
        back = []
        for viewer in theirs:
            back.append(await _with(stack, fleet.viewer(link=viewer.link, key=viewer.key)))
            await back[-1].carries()
        resumed = _now() - begun
        unlisted = {}
        if until_forgotten:
            ghosts = {sessions[viewer] for viewer in theirs}

            async def forgotten() -> bool:
                return not ghosts & (await listed(fleet)).keys()

            unlisted["unlisted_after"] = await _when(forgotten) - begun
        others = [viewer for viewer in live if viewer not in theirs]
        lived = [viewer for viewer in others if viewer.whole]
        await _carry(*lived)
        victim.start()
        await victim.answers("/readyz")
        await fleet.in_rotation()
        return {
            "viewers": len(live),
            "at_the_victim": len(theirs),
            "ended": sum(viewer.ended is not None for viewer in live),
            "lived": len(lived),
            "told_after": told,
            "resumed": len(back),
            "resumed_after": resumed,
            **unlisted,
        }
