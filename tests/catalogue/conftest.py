"""What holds for every case of the catalogue, looked at after each test.

No session, task or descriptor is left; nothing was logged as an error with a traceback that the test has
not announced; and no token or resume key of the test is in any log record at any level.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import traceback
from collections.abc import AsyncIterator

import pytest
from hostile import open_files, until

_CLIENT = "websockets"  # the test's own client, which may log what it sends


class Diary(logging.Handler):
    """Every log record of a test, as text: message, arguments, extra fields, traceback.

    Attributes:
        allowed: Beginnings of error messages that the test provokes on purpose.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []
        self.errors: list[str] = []
        self.allowed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] == _CLIENT:
            return
        text = f"{record.name} {record.levelname} {record.getMessage()} {vars(record)!r}"
        if record.exc_info and record.exc_info[1]:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        self.texts.append(text)
        noisy = record.name == "asyncio" or record.name.startswith("tornado.")
        if record.levelno >= (logging.WARNING if noisy else logging.ERROR) and (noisy or record.exc_info):
            self.errors.append(text)

    def unexpected(self) -> list[str]:
        return [text for text in self.errors if not any(allowed in text for allowed in self.allowed)]


@pytest.fixture
def secrets_of_the_test(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every token and resume key that is made during the test, as it is made."""
    made: set[str] = set()
    make = secrets.token_urlsafe

    def noted(size: int | None = None) -> str:
        text = make(size)
        made.add(text)
        return text

    monkeypatch.setattr(secrets, "token_urlsafe", noted)
    return made


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture(autouse=True)
async def nothing_stays_behind(secrets_of_the_test: set[str], diary: Diary) -> AsyncIterator[None]:
    root = logging.getLogger()
    level = root.level
    files, tasks = open_files(), asyncio.all_tasks()
    root.addHandler(diary)
    root.setLevel(logging.DEBUG)
    try:
        yield
        gc.collect()  # an exception that nobody fetched is told now, and not in the next test
        here = asyncio.current_task()
        await until(lambda: asyncio.all_tasks() - {here} <= tasks, "the end of every task")
        await until(lambda: open_files() <= files, "the close of every descriptor")
    finally:
        root.setLevel(level)
        root.removeHandler(diary)
    assert not diary.unexpected()
    for secret in secrets_of_the_test:
        leaks = [text for text in diary.texts if secret in text]
        assert not leaks, leaks
