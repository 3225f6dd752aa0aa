from __future__ import annotations

from pathlib import Path

from consolekit.testing.tickets import Tickets


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets(["a"])
    tickets.add("b")
    assert [tickets.take(ticket) for ticket in ("b", "a", "a", "b", "c")] == [True, True, False, False, False]
    assert tickets.taken == ["b", "a"]
    assert tickets.refused == ["a", "b", "c"]


def test_a_file_of_tickets_grows(tmp_path: Path) -> None:
    file = tmp_path / "tickets"
    tickets = Tickets(file=file)
    assert not tickets.take("a")
    file.write_text('b\n\n{"ticket": "c", "kind": "mks"}\n')
    assert [tickets.take(ticket) for ticket in ("b", "c", "c", "")] == [True, True, False, False]


def test_a_ticket_that_was_refused_stays_worthless() -> None:
    """As one that was guessed before it was given would be."""
    tickets = Tickets()
    assert not tickets.take("a")
    tickets.add("a")
    assert not tickets.take("a")


def test_expiry(tmp_path: Path) -> None:
    file = tmp_path / "tickets"
    file.write_text("b\n")
    tickets = Tickets(["a"], file=file)
    tickets.expire()
    assert not tickets.take("a")
    assert not tickets.take("b")
    tickets.add("c")
    assert tickets.take("c")
