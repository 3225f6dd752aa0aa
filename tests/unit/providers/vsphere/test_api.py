from __future__ import annotations

from fakevsphere import FakeApi, Site

from consolekit.core.errors import ConsoleKitError
from consolekit.providers.vsphere.api import (
    Api,
    Connect,
    LoginRefused,
    MachineMissing,
    SessionLost,
    Signal,
    WrongState,
)


def test_signals_are_no_errors_of_ours() -> None:
    """One that leaks would be an internal error, not a wrong answer."""
    for signal in (SessionLost, LoginRefused, MachineMissing, WrongState):
        assert issubclass(signal, Signal)
        assert not issubclass(signal, ConsoleKitError)


def test_the_fake_has_the_shape() -> None:
    site = Site()
    api: Api = FakeApi(site, 1)
    connect: Connect = site.connect
    assert api.version
    assert connect
