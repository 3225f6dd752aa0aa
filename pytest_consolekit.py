"""The pytest plug-in: fixtures for those who test providers. Imports nothing of consolekit before that.

It stands outside the package, because whoever has consolekit installed has this in every run of pytest:
importing the package here would cost each of them, and hide its import from coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from consolekit.testing import ManualClock
    from consolekit.testing.rfbserver import RfbServer
    from consolekit.testing.serialline import SerialLine

Serve = Callable[[AbstractAsyncContextManager[Any]], Any]

#: Where the kits' assertions are, so that a failed one shows its values.
_ASSERTING = ("handshakes", "providerchecks", "providerforms", "providers", "providerstress", "storechecks",
              "tokens", "validatorchecks", "validators", "viewerfilters")  # fmt: skip

pytest.register_assert_rewrite(*(f"consolekit.testing.{name}" for name in _ASSERTING))


@pytest.fixture
def consolekit_serve() -> Iterator[Serve]:
    """Run a peer in a thread until the test ends, such as ``RfbServer()``."""
    from consolekit.testing.background import Background

    with Background() as background:
        yield background.enter


@pytest.fixture
def consolekit_rfb_server(consolekit_serve: Serve) -> RfbServer:
    """A VNC server with a moving picture and no password; its ``address`` says where."""
    from consolekit.testing.rfbserver import RfbServer

    server: RfbServer = consolekit_serve(RfbServer())
    return server


@pytest.fixture
def consolekit_serial_line(consolekit_serve: Serve) -> SerialLine:
    """A machine's serial line with a login prompt; its ``address`` says where."""
    from consolekit.testing.serialline import SerialLine

    line: SerialLine = consolekit_serve(SerialLine())
    return line


@pytest.fixture
def consolekit_clock() -> ManualClock:
    """A clock that moves only when told."""
    from consolekit.testing import ManualClock

    return ManualClock()
