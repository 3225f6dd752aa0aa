"""Test support: a Python process beside ours, which talks in lines of JSON. Importable as ``besides``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_TALK = """
import json, sys

def tell(what):
    print(json.dumps(what), flush=True)

def hear():
    return json.loads(sys.stdin.readline())

"""


class Process:
    """A process beside ours.

    Args:
        body: What it does, with ``tell`` and ``hear``.
        words: Its ``sys.argv`` from 1 on.
    """

    def __init__(self, body: str, *words: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _TALK + body, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what: Any) -> None:
        """One line to it."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(what) + "\n")
        self._popen.stdin.flush()

    def hear(self) -> Any:
        """Its next line."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        assert line, f"the process ended with {self._popen.wait()}"
        return json.loads(line)

    def end(self) -> int:
        """Let it end by itself; its exit status."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        return self._popen.wait()

    def close(self) -> None:
        """End it now."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()
