"""cli.output: tables, figures, instants; results and the rest apart."""

from __future__ import annotations

import pytest

from consolekit.cli import output
from consolekit.core.errors import Problem


def test_results_and_the_rest_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("result")
    output.note("note")
    output.warn("care")
    output.fail("wrong:", [Problem("a.b", "is required")])
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == "note\nwarning: care\nerror: wrong:\n  a.b: is required\n"


def test_tables_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["A", "LONG"], [["xyz", ""], ["", "b"]])
    assert capsys.readouterr().out == "A    LONG\nxyz  -\n-    b\n"


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_json({"a": "ü"})
    assert capsys.readouterr().out == '{\n  "a": "ü"\n}\n'


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (3 * 2**40, "3.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert output.size(count) == text


def test_moments() -> None:
    assert output.moment(0.9) == "1970-01-01T00:00:00Z"
