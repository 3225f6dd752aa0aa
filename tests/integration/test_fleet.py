"""Four proxies on two hosts behind HAProxy, as processes, over Redis and over PostgreSQL.

Nothing here is timed; ``benchmarks/fleet.py`` does the same things longer, and keeps the figures.
"""

from __future__ import annotations

import drills
import fleet
import pytest
from fleetstores import STORES


@pytest.fixture(params=STORES)
async def four(request, tmp_path):
    async with fleet.running(request.param, tmp_path) as running:
        yield running


async def test_what_is_revoked_anywhere_is_cut_wherever_it_lives(four):
    for number, way in enumerate((*drills.WAYS, drills.WAYS[0])):
        done = await drills.revoke(four, way, number)
        assert (done["code"], done["again"]) == (drills.REVOKED, 401), done


async def test_a_token_opens_at_one_proxy_and_its_browser_comes_back_at_another(four):
    done = await drills.one_browser(four)
    assert done == {"strangers": [401, 401, 401], "resumed": True}


@pytest.mark.parametrize("how", drills.AWAY)
async def test_without_the_store_live_consoles_live_and_new_ones_are_refused(four, how):
    done = await drills.outage(four, how, viewers=6, seconds=0)
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
