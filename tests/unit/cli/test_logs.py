"""cli.logs: lines for people and for collectors, without secrets, whatever reads them."""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import threading
from collections.abc import Iterator

import pytest

from consolekit.cli import logs
from consolekit.cli.logs import PatientHandler, TextFormatter, redact, set_up
from consolekit.core.errors import ConfigError

TOKEN = "ckt_" + "aB3-_" * 8 + "xyz"
KEY = "cka_" + "aB3-_" * 8 + "xyz"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"GET /ws?token={TOKEN}&x=1", "GET /ws?token=***&x=1"),
        (f"offered binary, consolekit.token.{TOKEN}", "offered binary, consolekit.token.ckt_***"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer ***"),
        (f"key {KEY}.", "key cka_***."),
        ("token=abc def", "token=*** def"),
        ("path=ws%3Ftoken%3Dabc", "path=ws%3Ftoken%3D***"),
        ('{"password": "hunter2", "a": 1}', '{"password": "***", "a": 1}'),
        ("password=hunter2", "password=***"),
        ("the token was refused", "the token was refused"),
        ("ckt_short", "ckt_short"),
        ("tokens.seconds: must be from 1 to 600", "tokens.seconds: must be from 1 to 600"),
    ],
)
def test_redaction(text: str, clean: str) -> None:
    assert redact(text) == clean


class Lines:
    """Takes what is written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("consolekit")
    levels = root.level, ours.level
    yield
    for handler in [known for known in root.handlers if isinstance(known, PatientHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(False)


def logged(form: str, level: str, *records: tuple[int, str, dict[str, object]]) -> str:
    lines = Lines()
    handler = set_up(form, level, write=lines.write)
    for number, message, extra in records:
        logging.getLogger("consolekit.test").log(number, message, extra=extra)
    handler.close()
    return lines.text


def test_text() -> None:
    text = logged("text", "info", (logging.INFO, "session opened", {"session": "a1", "server": "web-1"}))
    when, rest = text.split(" ", 1)
    assert when.endswith("Z")
    assert rest == "INFO    consolekit.test: session opened session=a1 server=web-1\n"


def test_json() -> None:
    text = logged("json", "info", (logging.WARNING, "größer", {"server": "web-1", "number": 5}))
    record = json.loads(text)
    assert record.pop("timestamp")
    assert record == {
        "level": "WARNING",
        "logger": "consolekit.test",
        "message": "größer",
        "server": "web-1",
        "number": 5,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_message_nor_field_nor_traceback_holds_a_token(form: str) -> None:
    lines = Lines()
    handler = set_up(form, "info", write=lines.write)
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logging.getLogger("consolekit.test").exception("got %s", TOKEN, extra={"header": f"Bearer {KEY}"})
    handler.close()
    assert "Traceback" in lines.text
    assert TOKEN not in lines.text
    assert KEY not in lines.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_forges_a_line(form: str) -> None:
    text = logged(form, "info", (logging.INFO, "name a\nERROR forged\x1b[2J\u2028", {"x": "b\r\nforged"}))
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\r" not in text


def test_levels() -> None:
    records = [(logging.DEBUG, "d", {}), (logging.INFO, "i", {}), (logging.ERROR, "e", {})]
    assert len(logged("text", "debug", *records).splitlines()) == 3
    assert len(logged("text", "info", *records).splitlines()) == 2
    assert len(logged("text", "error", *records).splitlines()) == 1


def test_strangers_are_heard_from_warning_on() -> None:
    lines = Lines()
    handler = set_up("text", "info", write=lines.write)
    logging.getLogger("tornado.general").info("chatter")
    logging.getLogger("tornado.general").warning("trouble")
    handler.close()
    assert "trouble" in lines.text
    assert "chatter" not in lines.text


def test_an_unknown_form() -> None:
    with pytest.raises(ConfigError, match="must be one of text, json"):
        set_up("xml", "info", write=lambda _: None)


def test_setting_up_again_replaces() -> None:
    first, second = Lines(), Lines()
    set_up("text", "info", write=first.write)
    handler = set_up("text", "info", write=second.write)
    logging.getLogger("consolekit.test").info("once")
    handler.close()
    assert first.text == ""
    assert second.text.count("once") == 1


class StuckPipe:
    """Takes the first piece when it is told to, and all others from then on."""

    def __init__(self) -> None:
        self.stuck, self.go = threading.Event(), threading.Event()
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.stuck.set()
        self.go.wait()
        self.written.append(text)


def test_a_pipe_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_QUEUE_LINES", 5)
    monkeypatch.setattr(logs, "_LAST_SECONDS", 0.0)
    pipe = StuckPipe()
    handler = set_up("text", "info", write=pipe.write)
    log = logging.getLogger("consolekit.test")
    log.info("first")
    pipe.stuck.wait()
    for number in range(20):
        log.info("line %d", number)  # returns at once, whatever happens to the line
    pipe.go.set()
    monkeypatch.setattr(logs, "_LAST_SECONDS", 5.0)
    while not handler._lines.empty():
        pass
    handler.close()
    assert "WARNING consolekit.cli.logs: 15 log lines were lost: nobody took them\n" in "".join(pipe.written)
    assert handler.lost == logs.lost() == 15


def test_a_pipe_that_is_closed_stops_nobody() -> None:
    def write(text: str) -> None:
        raise BrokenPipeError

    handler = set_up("text", "info", write=write)
    logging.getLogger("consolekit.test").info("to nobody")
    handler.close()
    assert not handler._thread.is_alive()
    assert handler.lost == 1


def test_a_disk_that_was_full_is_told_of_in_the_form_of_the_log() -> None:
    written: list[str] = []
    full, tried = [True], threading.Semaphore(0)

    def write(text: str) -> None:
        tried.release()
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(text)

    handler = set_up("json", "info", write=write)
    log = logging.getLogger("consolekit.test")
    for number in range(3):
        log.info("lost %d", number)
        tried.acquire()
    while handler.lost < 3:
        pass
    full[0] = False
    log.info("kept")
    log.info("and this")
    handler.close()
    records = [json.loads(line) for line in "".join(written).splitlines()]
    assert [record["message"] for record in records] == [
        "3 log lines were lost: nobody took them",
        "kept",
        "and this",
    ]
    assert records[0]["level"] == "WARNING"
    assert handler.lost == 3


def test_a_record_that_cannot_be_formatted_stops_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    handler = set_up("text", "info", write=lines.write)
    for message, arguments in (("%d", ("no number",)), ("next", ())):
        handler.handle(logging.LogRecord("n", logging.INFO, "p", 1, message, arguments, None))
    handler.close()
    assert "next" in lines.text
    assert "a log line of p:1 could not be made" in lines.text
    assert capfd.readouterr().err == ""  # it may be the very pipe that nobody reads


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    taken = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            taken.extend(piece)

    reader = threading.Thread(target=read)
    waited = threading.Event()

    def select(read: list[int], write: list[int], other: list[int]) -> None:
        waited.set()  # and only now somebody reads
        if not reader.is_alive():
            reader.start()
        real_select([], [writing], [])

    real_select, real_write = logs.select.select, os.write
    monkeypatch.setattr(logs.select, "select", select)
    monkeypatch.setattr(logs.os, "write", lambda descriptor, data: real_write(writing, data))
    text = "x" * 1_000_000
    logs._write_stderr(text)
    os.close(writing)
    reader.join()
    os.close(reading)
    assert waited.is_set()
    assert taken.decode() == text


def test_the_descriptor_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = bytearray()

    def write(descriptor: int, data: bytes) -> int:
        assert descriptor == 2
        taken.extend(data[:3])
        return min(3, len(data))

    monkeypatch.setattr(logs.os, "write", write)
    logs._write_stderr("größer\udc80\n")
    assert taken.decode() == "größer\\udc80\n"


def test_a_field_without_name_clashes() -> None:
    record = logging.makeLogRecord({"msg": "m", "name": "n", "levelname": "INFO", "created": 0.0})
    assert TextFormatter().format(record) == "1970-01-01T00:00:00.000Z INFO    n: m"
    record.__dict__ |= {"_private": 1, "message": "m", "asctime": "then"}  # as other formatters leave them
    assert TextFormatter().format(record) == "1970-01-01T00:00:00.000Z INFO    n: m"


def written_together(messages: list[str]) -> list[str]:
    """What is written with one call each of lines that wait together."""
    pipe = StuckPipe()
    handler = set_up("text", "info", write=pipe.write)
    log = logging.getLogger("consolekit.test")
    log.info("first")
    pipe.stuck.wait()
    for message in messages:
        log.info(message)
    pipe.go.set()
    handler.close()
    assert "".join(pipe.written).count("\n") == len(messages) + 1
    return pipe.written[1:]


def test_lines_that_wait_are_written_together() -> None:
    assert len(written_together([f"line {number}" for number in range(5)])) == 1


def test_but_no_more_than_a_pipe_takes_whole() -> None:
    """Or a line of another process that writes to it would stand in the midst of ours."""
    for messages in ([f"{'x' * 1000} {number}" for number in range(5)], ["ü" * 700, "y" * 2900]):
        pieces = written_together(messages)
        assert all(len(piece.encode()) <= select.PIPE_BUF or piece.count("\n") == 1 for piece in pieces)
        assert len(pieces) == len(messages)
