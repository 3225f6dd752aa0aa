"""Reloads and upgrades while viewers come and stay: nobody is refused, no byte is lost."""

from __future__ import annotations

import asyncio

from reloading import summary, under_load


async def test_case_47_reloads_and_an_upgrade_refuse_nobody_and_cut_nobody(tmp_path):
    async with under_load(tmp_path, rate=40, streams=4, most=1500) as load:
        site = load.site
        first = site.parent
        for _ in range(2):
            await asyncio.to_thread(site.reload)
        text = site.config.read_text()
        site.config.write_text(text + "nonsense = [\n")
        await asyncio.to_thread(site.reload)
        site.config.write_text(text)
        assert await asyncio.to_thread(site.upgrade) not in (0, first)
        assert "everything stays as it was" in site.served.log.read_text()
    found = summary(load)
    assert found["not_served"] == {}
    assert found["served"] > 0
    assert (found["whole"], found["streams"]) == (4, 4)
    assert found["stream_bytes"] > 0
