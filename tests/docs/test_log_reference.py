"""The log's reference and what the code logs are the same, line by line and field by field."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from logcalls import log_calls

from consolekit.cli import report
from consolekit.core.types import ConsoleKey, Mode, SessionInfo

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "log.md"
ROW = re.compile(r"^\| (info|warning|error) \| `(.+?)` \| .+ \|$", re.MULTILINE)
FIELD = re.compile(r"^\| `(\w+)` \| ", re.MULTILINE)
INFO = SessionInfo(
    id="s1",
    grant_id="g1",
    key=ConsoleKey("vnc", "novnc"),
    server_id="web-1",
    subject="alice",
    address="192.0.2.7",
    started_at=1.0,
    issued_at=0.0,
    mode=Mode.INTERACT,
)


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_line_that_is_logged_is_in_the_reference(page: str) -> None:
    listed = set(ROW.findall(page))
    calls = log_calls()
    assert len(calls) > 50
    assert [call for call in sorted(calls) if (call.level, call.message) not in listed] == []


def test_every_line_of_the_reference_is_logged(page: str) -> None:
    logged = {(call.level, call.message) for call in log_calls()}
    listed = ROW.findall(page)
    assert [line for line in listed if line not in logged] == []
    assert len(listed) == len(set(listed))


def test_a_message_is_always_text_with_values_apart(page: str) -> None:
    """An f-string would be another message each time, and could not be looked up."""
    for file in (Path(report.__file__).parent.parent).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = node.func.value
                if isinstance(of, ast.Name) and of.id in ("_log", "_LOG"):
                    assert not any(isinstance(argument, ast.JoinedStr) for argument in node.args[:2]), file


def test_the_fields_of_a_session_s_report_are_those_of_its_lines(page: str) -> None:
    fields = set(FIELD.findall(page.partition("## Requests")[0]))
    assert set(report._fields(INFO, 2.0)) == fields - {"reason", "provider"}
