"""Test support, run as a process of its own: a listener with very few descriptors.

Says its port, and when its input closes, as JSON: seconds, CPU seconds, refusals and log lines.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time

from tornado.web import Application, RequestHandler

from consolekit.net.listener import Listener, ListenerSettings


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")


class Lines(logging.Handler):
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    lines = Lines()
    logging.getLogger().addHandler(lines)
    refused: list[str] = []
    listener = Listener("127.0.0.1", 0, settings=ListenerSettings(pending_per_address=1000))
    listener.on_refused = refused.append
    listener.bind()
    listener.start(Application([("/", Hello)], log_function=lambda handler: None))
    print(listener.port, flush=True)
    began, busy = time.monotonic(), time.process_time()
    await asyncio.to_thread(sys.stdin.read)
    report = {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - busy,
        "refused": sorted(set(refused)),
        "lines": lines.count,
    }
    await listener.aclose()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
