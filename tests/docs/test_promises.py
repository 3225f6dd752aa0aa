"""The page of promises: what it names is there, and every case of the catalogue is on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "explanation" / "promises.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
CASES = range(1, 56)


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """Every test function."""
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in files for name in re.findall(r"def (test_\w+)\(", text)}


def named(text: str) -> Iterator[str]:
    yield from re.findall(r"`(test_\w+)`", text)


def test_every_case_has_its_row_and_what_happens() -> None:
    assert [int(number) for number, *_ in ROWS] == list(CASES)
    assert all(done.strip() and happens.strip() for _, done, happens, _ in ROWS)


def test_every_row_names_a_test_of_its_number() -> None:
    wrong = {
        number: found
        for number, *_, last in ROWS
        if not (found := list(named(last)))
        or not all(name.startswith(f"test_case_{int(number):02}_") for name in found)
    }
    assert wrong == {}


def test_every_test_that_is_named_is_there(tests: set[str]) -> None:
    assert set(named(PAGE)) - tests == set()


def test_every_test_of_a_case_is_of_one_that_is_on_the_page(tests: set[str]) -> None:
    numbers = {int(found[1]) for name in tests if (found := re.match(r"test_case_(\d\d)_", name))}
    assert numbers == set(CASES)
    assert not {name for name in tests if re.match(r"test_case_(?!\d\d_)", name)}


def test_every_promise_has_its_figure_and_what_measured_it() -> None:
    table = PAGE.partition("| Promise |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) >= 18
    for promise, figure, *_ in rows:
        assert figure.strip(), promise


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:[\w -]*python )?(benchmarks/\w+\.py)", PAGE))))
def test_every_benchmark_that_is_named_is_there(name: str) -> None:
    assert (ROOT / name).is_file()
