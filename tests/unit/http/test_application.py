from __future__ import annotations

import pytest
from exchange import HOST, exchange, request
from tornado.web import Application

from consolekit.http.application import BoundedApplication
from consolekit.http.handler import Handler, NotFoundHandler
from consolekit.http.headers import SAFE_HEADERS

LIMIT = 100 * 1024 * 1024  # tornado's own, where the server sets none


class Take(Handler):
    def post(self) -> None:
        self.write(str(len(self.request.body)))


def application() -> Application:
    return BoundedApplication(
        [("/take", Take)], default_handler_class=NotFoundHandler, log_function=lambda _: None, hosts={HOST}
    )


@pytest.mark.parametrize("target", ["/take", "/nothing"])
@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 12, "9" * 5000])
async def test_case_10_too_large_a_body_is_refused_by_its_announcement(target: str, length: str) -> None:
    reply = await exchange(application(), request("POST", target, b"", Content_Length=length))
    assert (reply.status, reply.code) == (413, "content_too_large")
    assert reply.headers["connection"] == "close"
    assert {name: reply.headers[name.lower()] for name in SAFE_HEADERS} == dict(SAFE_HEADERS)
    assert "server" not in reply.headers


async def test_a_body_that_fits_goes_through() -> None:
    reply = await exchange(application(), request("POST", "/take", b"12345"))
    assert (reply.status, reply.body) == (200, b"5")
    assert (await exchange(application(), request("POST", "/nothing", b"12345"))).status == 404


@pytest.mark.parametrize("length", ["+4", "-1", "4_0", "0x4", "²"])
async def test_case_02_a_length_that_is_none_is_left_to_the_parser(length: str) -> None:
    reply = await exchange(application(), request("POST", "/take", b"1234", Content_Length=length))
    assert reply.status == 400
