from __future__ import annotations

import inspect

import pytest

from consolekit.core import consoleerrors, errors

BRANCHES = [
    cls
    for _, cls in inspect.getmembers(consoleerrors, inspect.isclass)
    if issubclass(cls, errors.ProviderError | errors.PeerError)
]
#: What only somebody inside may learn: how the site is built.
INSIDE = ("vcenter", "esxi", "vsphere", "soap", "account")


@pytest.mark.parametrize("cls", BRANCHES)
class TestEveryBranch:
    def test_is_imported_from_errors(self, cls: type[errors.ConsoleKitError]) -> None:
        assert getattr(errors, cls.__name__) is cls

    def test_title_names_no_infrastructure(self, cls: type[errors.ConsoleKitError]) -> None:
        title = cls.title.lower()
        assert [word for word in INSIDE if word in title] == []


def test_titles_of_a_servers_faults_all_differ() -> None:
    titles = [cls.title for cls in BRANCHES if issubclass(cls, errors.ProviderError)]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("family", "members"),
    [
        (errors.UnknownServer, [errors.ServerGone]),
        (
            errors.ConsoleConflict,
            [errors.AmbiguousServer, errors.ServerPoweredOff, errors.ServerSuspended, errors.ServerBusy],
        ),
        (errors.HostUnavailable, [errors.HostInMaintenance]),
        (errors.HypervisorUnavailable, [errors.HypervisorTimeout]),
    ],
)
def test_a_family_is_one_status_or_says_so(
    family: type[errors.ConsoleKitError], members: list[type[errors.ConsoleKitError]]
) -> None:
    for cls in members:
        assert issubclass(cls, family)
        assert cls.status in (family.status, 504)
