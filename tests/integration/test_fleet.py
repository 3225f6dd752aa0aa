"""Four proxies on two hosts behind HAProxy, as processes, over Redis and over PostgreSQL.

Nothing here is timed. A fleet takes seconds to start, so all tests of a store share one: each drill leaves
it whole.
"""

from __future__ import annotations

import drills
import fleet
import hosts
import pytest
import pytest_asyncio
from fleetstores import STORES

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=STORES, scope="module", loop_scope="module")
async def four(request, tmp_path_factory):
    async with fleet.running(request.param, tmp_path_factory.mktemp("fleet")) as running:
        yield running


async def test_what_is_revoked_anywhere_is_cut_wherever_it_lives(four):
    for number, way in enumerate((*drills.WAYS, drills.WAYS[0])):
        done = await drills.revoke(four, way, number)
        assert (done["code"], done["again"]) == (drills.REVOKED, 401), done


async def test_a_token_opens_at_one_proxy_and_its_browser_comes_back_at_another(four):
    done = await drills.one_browser(four)
    assert done == {"strangers": [401, 401, 401], "resumed": True}


async def test_behind_haproxy_a_viewer_has_its_own_address(four):
    assert await drills.seen_from(four) == "127.0.0.1"
    assert four.network.shared != "127.0.0.1" or four.network is hosts.LOOPBACK


@pytest.mark.parametrize("how", drills.AWAY)
async def test_without_the_store_live_consoles_live_and_new_ones_are_refused(four, how):
    done = await drills.outage(four, how, viewers=6)
    assert done["lived"] == done["viewers"], done
    for name, new in done["new"].items():
        assert set(new["statuses"]) == {503}, (name, new)
        assert new["without_retry_after"] == 0, (name, new)
    assert done["cut"] == done["leavers"], done
    assert set(done["refused_token_again"]) == {101}, done


async def test_a_killed_proxy_takes_its_own_consoles_alone_and_they_come_back_elsewhere(four):
    done = await drills.death(four, viewers=8)
    assert done["at_the_victim"] > 0, done
    assert done["ended"] == done["resumed"] == done["at_the_victim"], done
    assert done["lived"] == done["viewers"] - done["at_the_victim"], done
