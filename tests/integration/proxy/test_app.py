"""The proxy as a whole: what an embedder builds, starts and ends."""

from __future__ import annotations

import asyncio

import pytest
from gateway import PipeProvider, echo, running
from hostile import ask, console, house, request, until, viewer
from prometheus_client import CollectorRegistry

from consolekit.auth.memory import MemoryTokenStore
from consolekit.core.errors import StoreUnavailable
from consolekit.core.types import Endpoint, SystemClock
from consolekit.proxy.app import Proxy, ProxySettings

NOWHERE = PipeProvider({"demo": Endpoint(host="127.0.0.1", port=1)})


async def test_two_proxies_in_one_process_do_not_see_each_other():
    async with console(echo) as one, console(echo) as other, viewer(one):
        assert (len(one.proxy.sessions), len(other.proxy.sessions)) == (1, 0)
        assert (await ask(other, request(other, "/readyz"))).status == 200


async def test_a_proxy_whose_store_cannot_be_read_does_not_start():
    class Away(MemoryTokenStore):
        async def revocations(self, after):
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        async with running(NOWHERE, store=Away(clock=SystemClock())):
            raise AssertionError("it started")


async def test_an_embedder_passes_its_own_registry_and_may_do_so_once():
    registry = CollectorRegistry()
    async with house(NOWHERE) as gateway:
        settings = ProxySettings(origins=(), hosts=())
        Proxy(gateway.kit, settings, registry=registry)
        assert registry.get_sample_value("consolekit_connections_pending") == 0
        with pytest.raises(ValueError, match="Duplicated"):
            Proxy(gateway.kit, settings, registry=registry)


async def test_sessions_have_their_time_when_the_proxy_ends():
    async with console(echo) as gateway, viewer(gateway) as browser:
        ending = asyncio.get_running_loop().create_task(gateway.proxy.aclose(drain_seconds=10))
        await until(lambda: gateway.proxy.sessions.draining, "the drain")
        assert (await ask(gateway, gateway.handshake(await gateway.token()))).status == 503
        assert not ending.done()
        browser.close()
        await ending
    async with console(echo) as gateway, viewer(gateway) as browser:
        await gateway.proxy.aclose(drain_seconds=0.05)
        assert await browser.close_code() == 1001


async def test_every_route_is_under_the_prefix_but_the_probes():
    async with house(NOWHERE, prefix="/c") as gateway:
        for path, expected in {
            "/c/ws": 426, "/c/websockify": 426, "/c/console/": 200, "/c/console/outcome": 401,
            "/c/console/assets/main.js": 200, "/healthz": 200, "/readyz": 200,
            "/ws": 404, "/console/": 404, "/c/healthz": 404, "/c": 404,
            "/c/ws/": 404, "/cXws": 404,
        }.items():  # fmt: skip
            answer = await ask(gateway, request(gateway, path))
            assert answer.status == expected, path
