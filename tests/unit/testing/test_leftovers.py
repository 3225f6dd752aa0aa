"""testing.leftovers: what is new, and what only seemed so."""

from __future__ import annotations

import asyncio
import os
import threading

from consolekit.testing.leftovers import Inventory, other_tasks


def test_a_thread_is_new_until_it_has_ended():
    before, end = Inventory.now(), threading.Event()
    thread = threading.Thread(target=end.wait, name="one more")
    thread.start()
    assert before.new_threads(0) == ["one more"]
    end.set()
    assert before.new_threads(30) == []
    assert thread not in threading.enumerate()


def test_a_descriptor_is_new_until_it_is_closed():
    before = Inventory.now()
    reader, writer = os.pipe()
    found = before.new_descriptors(0)
    assert [text.split()[0] for text in found] == [str(reader), str(writer)]
    assert "pipe:" in found[0]
    os.close(reader)
    threading.Timer(0.01, os.close, [writer]).start()
    assert before.new_descriptors(30) == []


async def test_tasks_but_for_the_present_one():
    assert other_tasks() == []

    async def go_on():
        await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(go_on())
    assert other_tasks() == ["test_tasks_but_for_the_present_one.<locals>.go_on"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert other_tasks() == []
