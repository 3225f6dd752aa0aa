"""Probes and figures, over HTTP."""

from __future__ import annotations

import asyncio
import json

from gateway import PipeProvider, echo
from hostile import ask, console, house, request, until, viewer

from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Endpoint, SystemClock
from consolekit.net.listener import Listener

NOWHERE = PipeProvider({"demo": Endpoint(host="127.0.0.1", port=1)})


async def test_the_process_lives_by_whatever_name_it_is_called():
    async with house(NOWHERE) as gateway:
        for host in (f"127.0.0.1:{gateway.port}", "10.1.2.3", "pod-7.cluster.example"):
            answer = await ask(gateway, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
            ready = await ask(gateway, f"GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert ready.status == 200
            assert json.loads(ready.body)["checks"] == {"accepting": True, "revocations": True}


async def test_a_proxy_that_drains_lives_and_is_not_ready():
    async with house(NOWHERE) as gateway:
        await gateway.proxy.sessions.drain(0)
        assert (await ask(gateway, request(gateway, "/healthz"))).status == 200
        ready = await ask(gateway, request(gateway, "/readyz"))
        assert ready.status == 503
        assert json.loads(ready.body) == {
            "status": "not ready",
            "checks": {"accepting": False, "revocations": True},
        }


class Moody(MemoryTokenStore):
    """A store that can be away for those who follow revocations."""

    away = False
    asked: asyncio.Event

    async def revocations(self, after):
        if after >= 0 and not self.away:
            await self.asked.wait()
            self.asked.clear()
        if self.away:
            raise StoreUnavailable("away")
        return 0, []


async def test_a_proxy_that_cannot_follow_revocations_is_not_ready_until_it_can():
    store = Moody(clock=SystemClock())
    store.asked = asyncio.Event()
    async with house(NOWHERE, store=store) as gateway:
        store.away = True
        store.asked.set()
        await until(lambda: not gateway.proxy.sessions.watching, "the loss")
        assert (await ask(gateway, request(gateway, "/readyz"))).status == 503
        store.away = False
        await until(lambda: gateway.proxy.sessions.watching, "the recovery")
        assert (await ask(gateway, request(gateway, "/readyz"))).status == 200


async def test_metrics_are_the_admin_listeners_alone():
    async with console(echo) as gateway:
        assert (await ask(gateway, request(gateway, "/metrics"))).status == 404
        admin = Listener("127.0.0.1", 0)
        admin.bind()
        admin.start(gateway.proxy.admin_application())
        try:
            async with viewer(gateway):
                text = (await ask(admin, request(admin, "/metrics"))).body
                assert b'consolekit_sessions{protocol="vnc",type="novnc"} 1.0\n' in text
                assert b"consolekit_connections_pending 0.0\n" in text
            assert (await ask(admin, request(admin, "/healthz"))).status == 200
            assert (await ask(admin, request(admin, "/readyz"))).status == 200
            for path in ("/ws", "/console/", "/console/outcome", "/"):  # 421: it is called by its own name
                assert (await ask(admin, request(admin, path))).status in (404, 421)
        finally:
            await admin.aclose()
