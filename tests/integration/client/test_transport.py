"""client.transport: TLS is verified, time is bounded, and what answers nonsense is told as such."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from apiserver import running_api
from consolesite import make_site

from consolekit.client import ApiUnreachable, AsyncConsoleClient, ConsoleClient, UnexpectedAnswer, transport
from consolekit.core.errors import ConfigError, ConsoleKitError, MalformedRequest
from consolekit.core.types import Secret

KEY = Secret("cka_" + "k" * 43)


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """Something on loopback that answers every request with these bytes; None: with nothing at all."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await gone.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        gone.set()
        server.close()
        await server.wait_closed()


async def both(url: str, check: Callable[[type[Exception], str], None], **options: float) -> None:
    """Ask with either client; what was raised is checked."""

    def block() -> None:
        with ConsoleClient(url, KEY, **options) as client:  # type: ignore[arg-type]  # a table of fields
            client.sessions()

    async def wait() -> None:
        async with AsyncConsoleClient(url, KEY, **options) as client:  # type: ignore[arg-type]  # likewise
            await client.sessions()

    attempts: list[Callable[[], Awaitable[None]]] = [wait, lambda: asyncio.to_thread(block)]
    for attempt in attempts:
        with pytest.raises(ConsoleKitError) as caught:
            await attempt()
        assert caught.value.__cause__ is None
        check(type(caught.value), str(caught.value))


def is_a(kind: type[Exception], text: str) -> Callable[[type[Exception], str], None]:
    def check(found: type[Exception], said: str) -> None:
        assert found is kind
        assert text in said
        assert KEY.reveal() not in said

    return check


async def test_the_certificate_is_verified(tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    right, wrong = tmp_path / "ca.pem", tmp_path / "stranger.pem"
    ca.cert_pem.write_to_path(str(right))
    stranger.cert_pem.write_to_path(str(wrong))
    async with running_api(make_site(), tls=context) as server:
        url = f"https://{server.host}"
        async with AsyncConsoleClient(url, server.key, ca_file=right) as client:
            assert (await client.create("web-1")).server_id == "web-1"

        def block() -> str:
            with ConsoleClient(url, server.key, ca_file=right) as client:
                return client.create("web-1").server_id

        assert await asyncio.to_thread(block) == "web-1"
        for ca_file in (wrong, None):
            async with AsyncConsoleClient(url, server.key, ca_file=ca_file) as client:
                with pytest.raises(ApiUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.create("web-1")
        by_name = AsyncConsoleClient(f"https://localhost:{server.listener.port}", server.key, ca_file=right)
        async with by_name as client:
            with pytest.raises(ApiUnreachable, match=r"(?i)hostname mismatch"):
                await client.create("web-1")


async def test_nobody_there(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    await both(url, is_a(ApiUnreachable, url))


async def test_who_never_answers_is_not_waited_for() -> None:
    async with answering(None) as url:
        await both(url, is_a(ApiUnreachable, "no answer within 0.1 s"), timeout=0.1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP", id="ssh"),
        pytest.param(b"", "does not speak HTTP", id="nothing"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                     "HTTP status 302", id="redirect"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
                     "no JSON", id="page"),
    ],
)  # fmt: skip
async def test_what_is_no_gateway(answer: bytes, said: str) -> None:
    async with answering(answer) as url:
        await both(url, is_a(UnexpectedAnswer, said))


async def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    async with answering(head + b" " * 5000) as url:
        await both(url, is_a(UnexpectedAnswer, "longer than 1000 bytes"))


async def test_the_environment_s_proxies_do_not_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with (
        running_api(make_site()) as server,
        AsyncConsoleClient(f"http://{server.host}", server.key) as client,
    ):
        assert await client.sessions() == []


async def test_an_id_that_no_address_holds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with AsyncConsoleClient("http://127.0.0.1:1", KEY) as client:
        with pytest.raises(MalformedRequest, match="too long"):
            await client.offers("a" * 100_000)


def test_arguments_that_cannot_be_meant(tmp_path: Path) -> None:
    nothing, text = tmp_path / "nothing.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for ca_file in (nothing, text):
        with pytest.raises(ConfigError, match=r"^ca_file: "):
            ConsoleClient("https://gw", KEY, ca_file=ca_file)
    with pytest.raises(ConfigError, match=r"^timeout: "):
        AsyncConsoleClient("https://gw", KEY, timeout=0)
