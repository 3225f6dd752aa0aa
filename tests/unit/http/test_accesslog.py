from __future__ import annotations

import logging

import pytest
from exchange import exchange, request
from tornado.web import Application

from consolekit.http.accesslog import log_request
from consolekit.http.handler import Handler, NotFoundHandler

CANARY = "C4n4ryC4n4ry"


class Answer(Handler):
    any_host = True

    def get(self, status: str) -> None:
        self.set_status(int(status[:3]))


def application() -> Application:
    return Application([(r"/(.*)", Answer)], log_function=log_request, hosts=())


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consolekit.access")


async def logged(caplog: pytest.LogCaptureFixture, target: str, **headers: str) -> logging.LogRecord:
    await exchange(application(), request("GET", target, **headers))
    (record,) = [record for record in caplog.records if record.name == "consolekit.access"]
    return record


async def test_one_line_says_what_was_asked_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, "/200")
    assert record.getMessage().startswith("200 GET /200 ")
    assert record.__dict__["status"] == 200
    assert "remote_address" in record.__dict__
    assert record.levelno == logging.INFO


async def test_our_failures_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    assert (await logged(caplog, "/503")).levelno == logging.WARNING


async def test_no_query_and_no_header_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await logged(
        caplog, f"/200?token={CANARY}", Authorization=f"Bearer {CANARY}", Cookie=CANARY, Referer=CANARY
    )
    assert CANARY not in caplog.text


@pytest.mark.parametrize("prefix", ["ckt_", "cka_"])
async def test_a_token_in_the_wrong_place_is_not_logged(
    caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    record = await logged(caplog, f"/200/{prefix}{CANARY}")
    assert f"GET /200/{prefix}*** " in record.getMessage()
    assert CANARY not in caplog.text


async def test_a_path_can_neither_fill_the_log_nor_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    record = await logged(caplog, "/200" + "a" * 5000)
    assert len(record.getMessage()) < 300
    caplog.clear()
    record = await logged(caplog, "/200\x85\xa0\xe9")
    assert record.getMessage().isascii()


async def test_a_word_that_is_no_method_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    await exchange(application(), request(CANARY, "/200"))
    (record,) = [record for record in caplog.records if record.name == "consolekit.access"]
    assert record.getMessage().startswith("405 - /200 ")
    assert CANARY not in repr(vars(record))


async def test_a_long_word_in_nobodys_path_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody's viewer that looks for a websocket under the token itself, for one."""
    nothing = Application([], default_handler_class=NotFoundHandler, log_function=log_request, hosts=("h",))
    for target, told in (
        ("/7a6f1f3e-5f0c-4a58-9d0b-0a7f3c1d2e4b/ws", "404 GET /***/ws "),
        ("/console/missing.js", "404 GET /console/missing.js "),
    ):
        caplog.clear()
        await exchange(nothing, request("GET", target, Host="h"))
        (record,) = [record for record in caplog.records if record.name == "consolekit.access"]
        assert record.getMessage().startswith(told)
