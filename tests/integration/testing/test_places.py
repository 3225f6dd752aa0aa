"""testing.places: what stands where a hypervisor should."""

from __future__ import annotations

import socket
import threading

import pytest

from consolekit.testing.places import BadPlace, Manner


def test_one_that_is_gone_refuses() -> None:
    with BadPlace(Manner.GONE) as place, pytest.raises(ConnectionRefusedError):
        socket.create_connection((place.host, place.port))


def test_one_that_talks_nonsense_talks_and_closes() -> None:
    with BadPlace(Manner.NONSENSE) as place, socket.create_connection((place.host, place.port)) as link:
        link.settimeout(30)
        said = b"".join(iter(lambda: link.recv(65536), b""))
    assert b"\x00" in said


def test_one_that_is_silent_keeps_whom_it_has() -> None:
    visited = threading.Event()
    with BadPlace(Manner.SILENT, patience=0.0, visited=visited.set, noticed=visited.is_set) as place:
        with socket.create_connection((place.host, place.port)) as link:
            assert visited.wait(30)
            link.setblocking(False)
            with pytest.raises(BlockingIOError):
                link.recv(1)
        assert not place.lost_patience


def test_one_that_is_silent_cuts_off_whose_loop_does_not_go_on() -> None:
    with BadPlace(Manner.SILENT, patience=0.0, noticed=lambda: False) as place:
        with socket.create_connection((place.host, place.port)) as link:
            link.settimeout(30)
            assert link.recv(1) == b""
        assert place.lost_patience
