from __future__ import annotations

import pytest
from consolesite import make_site
from exchange import HOST, exchange, request

from consolekit.api import Callers, KeyEntry, make_api, policy
from consolekit.api.app import ROUTES
from consolekit.api.callers import hash_of, new_key

KEY = new_key()
CALLERS = Callers({"portal": KeyEntry(sha256=hash_of(KEY))})
BEARER = {"Authorization": f"Bearer {KEY.reveal()}"}


@pytest.mark.parametrize("host", ["localhost", "localhost:6081", "127.0.0.1:6081", "127.1.2.3", "[::1]:80"])
def test_without_keys_loopback_is_answered(host: str) -> None:
    make_api(make_site().kit, callers=Callers.anonymous(), hosts=[host])


@pytest.mark.parametrize(
    "host",
    ["console.example.org", "192.0.2.1:6081", "localhost.evil.example", "127.0.0.1.evil.example", "[::]"],
)
def test_without_keys_nothing_but_loopback_is_answered(host: str) -> None:
    with pytest.raises(ValueError, match="loopback names only"):
        make_api(make_site().kit, callers=Callers.anonymous(), hosts=["localhost", host])
    make_api(make_site().kit, callers=CALLERS, hosts=["localhost", host])


def test_the_policy_is_registered_once_for_a_kit() -> None:
    kit = make_site().kit
    for _ in range(2):
        make_api(kit, callers=CALLERS, hosts=[HOST])
    assert kit.hooks.names() == [policy.NAME]


@pytest.mark.parametrize("prefix", ["/", "x", "/x/", "/x y", "//x", "/x?y", "/.*"])
def test_a_prefix_is_a_path(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix must be a path"):
        make_api(make_site().kit, callers=CALLERS, hosts=[HOST], prefix=prefix)


async def test_a_prefix_stands_before_every_path() -> None:
    app = make_api(make_site().kit, callers=CALLERS, hosts=[HOST], prefix="/api/v1.0")
    assert (await exchange(app, request("GET", "/api/v1.0/schema"))).status == 200
    assert (await exchange(app, request("GET", "/api/v1.0/sessions", **BEARER))).status == 200
    assert (await exchange(app, request("GET", "/schema"))).status == 404
    assert (await exchange(app, request("GET", "/api/v1x0/schema"))).status == 404


@pytest.mark.parametrize("path", ROUTES)
async def test_paths_match_whole(path: str) -> None:
    app = make_api(make_site().kit, callers=CALLERS, hosts=[HOST])
    target = path.replace("{", "").replace("}", "")
    assert (await exchange(app, request("OPTIONS", target, **BEARER))).status == 204
    for wrong in (f"{target}/x/y", f"/x{target}", f"{target}x/y", f"{target}%0A/y", f"{target}//"):
        assert (await exchange(app, request("OPTIONS", wrong, **BEARER))).status == 404


async def test_two_apis_of_two_kits_are_strangers() -> None:
    one, two = make_site(), make_site()
    apps = [make_api(site.kit, callers=CALLERS, hosts=[HOST]) for site in (one, two)]
    body = b'{"protocol":"vnc","type":"novnc"}'
    await exchange(apps[0], request("POST", "/servers/web-1/console", body, **BEARER))
    assert (len(await one.store.grants()), len(await two.store.grants())) == (1, 0)
