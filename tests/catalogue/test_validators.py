"""Catalogue, cases 17 and 18: what is wrong with a token file, or with a token service, opens nothing."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trustme
from gateway import Gateway, PipeProvider, Serve, echo, target
from hostile import Answer, ask, house
from tokenservice import SECRET, TokenService, send, token_service

from consolekit.auth.base import AccessContext, TokenValidator
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.tokenfile import FileTokens
from consolekit.core.types import ConsoleRequest, Endpoint, Secret, SystemClock, Target
from consolekit.http.callback import HttpTokens


class Adopting(PipeProvider):
    """Goes where it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.targets: list[Target] = []

    async def adopt(self, request: ConsoleRequest, target: Target) -> Endpoint:
        self.targets.append(target)
        return Endpoint(host=target.host, port=target.port)


@asynccontextmanager
async def with_validator(validator: TokenValidator) -> AsyncIterator[tuple[Gateway, Adopting]]:
    """A gateway that takes the validator's tokens behind its own."""
    provider = Adopting()
    async with house(provider) as gateway:
        gateway.kit.validators = ValidatorChain([*gateway.kit.validators, validator])
        try:
            yield gateway, provider
        finally:
            await validator.aclose()


def seen(answer: Answer) -> tuple[int, str, bytes]:
    return answer.status, answer.code, answer.body


async def opens(gateway: Gateway, token: str) -> bool:
    async with gateway.open(token) as viewer:
        await viewer.send(b"here")
        return await viewer.recv() == b"here"


def new_token() -> str:
    """Noted by the catalogue's fixture: it may be in no log."""
    return secrets.token_urlsafe(24)


# ---- 17: a token file


async def test_case_17_every_wrong_line_or_file_is_the_same_401_and_the_others_open(tmp_path):
    names = ("good", "crlf", "double", "half", "dotted", "linked", "deep", "unreadable", "hidden", "hopeless")
    tokens = {name: new_token() for name in names}
    async with target(echo) as place:
        folder = tmp_path / "tokens"
        folder.mkdir()
        line = {name: f"{token}: 127.0.0.1:{place.port}" for name, token in tokens.items()}
        (folder / "good").write_text(f"# vm\n\n{line['good']}\n{line['double']}\n../{line['dotted']}\n")
        (folder / "crlf").write_bytes(f"\ufeff{line['crlf']}\r\n".encode())
        (folder / "double").write_text(f"{line['double']}\n")
        (folder / "half").write_text(line["half"])
        (folder / "hopeless").write_text(f"{line['hopeless']}x\n{tokens['hopeless']}: unix_socket:/run/x\n")
        (folder / ".hidden").write_text(f"{line['hidden']}\n")
        (tmp_path / "outside").write_text(f"{line['linked']}\n")
        (folder / "linked").symlink_to(tmp_path / "outside")
        (folder / "absolute").symlink_to("/etc/passwd")
        (folder / "deep").mkdir()
        (folder / "deep" / "tokens").write_text(f"{line['deep']}\n")
        os.mkfifo(folder / "pipe")
        (folder / "unreadable").symlink_to("unreadable")  # root may read all else
        validator = FileTokens(path=folder, provider="lab", clock=SystemClock())
        async with with_validator(validator) as (gateway, provider):
            good = ("good", "crlf")
            paths = ["../tokens/good", str(folder / "good"), "good", "."]
            bad = [tokens[name] for name in names if name not in good] + paths
            answers = [await ask(gateway, gateway.handshake(text)) for text in (*bad, new_token())]
            assert {seen(answer) for answer in answers} == {seen(answers[0])}
            assert (answers[0].status, answers[0].code) == (401, "token_refused")
            assert provider.targets == []
            for name in good:
                assert await opens(gateway, tokens[name])
            assert len(provider.targets) == 2


async def test_case_17_a_line_counts_when_it_is_whole_and_no_more_when_it_is_gone(tmp_path):
    token, file = new_token(), tmp_path / "tokens"
    file.write_text("")
    async with target(echo) as place:
        validator = FileTokens(path=file, provider="lab", clock=SystemClock())
        async with with_validator(validator) as (gateway, provider):

            async def until_status(status: int) -> None:
                async with asyncio.timeout(10):
                    while (await ask(gateway, gateway.handshake(token))).status != status:
                        await asyncio.sleep(0.01)

            whole = f"{token}: 127.0.0.1:{place.port}\n"
            for end in range(len(whole)):
                file.write_text(whole[:end])
                assert validator._folder.tokens(0.0) == {}
            assert (await ask(gateway, gateway.handshake(token))).status == 401
            assert provider.targets == []
            file.write_text(whole)
            await until_status(101)
            assert await opens(gateway, token)
            file.unlink()
            await until_status(401)


# ---- 18: a token service


def reply(port: int) -> dict[str, object]:
    place = {"host": "127.0.0.1", "port": port}
    return {"protocol": "vnc", "type": "novnc", "server": "web-1", "target": place}


@asynccontextmanager
async def asking(
    serve: Serve = echo, *, tls: ssl.SSLContext | None = None, **options: object
) -> AsyncIterator[tuple[Gateway, Adopting, TokenService, str]]:
    """A gateway in front of a service that knows one token."""
    token = new_token()
    with ExitStack() as stack:
        service = stack.enter_context(token_service(tls))
        async with target(serve) as place:
            service.replies[token] = reply(place.port)
            validator = HttpTokens(url=service.url, provider="lab", clock=SystemClock(), **options)
            async with with_validator(validator) as (gateway, provider):
                try:
                    yield gateway, provider, service, token
                finally:
                    service.released.set()


def hang(handler):
    handler.server.service.released.wait()


def drip(handler):
    """A byte now and then, for ever: no single read is late."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n")
    while not handler.server.service.released.wait(0.05):
        handler.wfile.write(b" ")


def huge(handler):
    send(handler, 200, b'{"x": "' + b"y" * 100_000 + b'"}')


def huge_by_name(handler):
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n"
    )
    hang(handler)


def huge_in_chunks(handler):
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    while not handler.server.service.released.is_set():
        handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


def huge_until_the_end(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not handler.server.service.released.is_set():
        handler.wfile.write(b" " * 65536)


def headers_for_ever(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.server.service.released.is_set():
        handler.wfile.write(b"X-More: " + b"y" * 1000 + b"\r\n")


def redirects(status):
    def fault(handler):
        send(handler, status, b"", Location="http://169.254.169.254/latest/meta-data")

    return fault


def says(status, body=b"{}", **headers):
    return lambda handler: send(handler, status, body, **headers)


FAULTS = {
    "hangs": hang,
    "drips": drip,
    "500": says(500),
    "503 with Retry-After": says(503, Retry_After="0"),
    "100": says(100),
    "204": says(204, b""),
    "301": redirects(301),
    "307": redirects(307),
    "too long": huge,
    "too long by its own word": huge_by_name,
    "too long in chunks": huge_in_chunks,
    "too long until the end": huge_until_the_end,
    "headers for ever": headers_for_ever,
    "not JSON": says(200, b"<html>"),
    "not said to be JSON": says(200, b"{}", Content_Type="text/html"),
    "gzip": says(200, b"\x1f\x8b", Content_Encoding="gzip"),
    "not the schema": says(200, b'{"server": "web-1"}'),
    "no HTTP": lambda handler: handler.wfile.write(b"RFB 003.008\n"),
    "nothing": lambda handler: None,
}


@pytest.mark.parametrize("name", FAULTS)
async def test_case_18_a_fault_of_the_service_is_503_once_and_heals(name, diary):
    diary.allowed += ["Reached maximum read buffer size"]
    async with asking() as (gateway, provider, service, token):
        assert await opens(gateway, token)
        service.paths.clear()
        service.fault = FAULTS[name]
        answer = await ask(gateway, gateway.handshake(token))
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert len(service.paths) == 1, "asked again"
        assert len(provider.targets) == 1
        service.fault = None
        assert await opens(gateway, token)


async def test_case_18_a_service_that_hangs_is_waited_for_no_longer_and_holds_nobody_else_up():
    async with asking() as (gateway, _, service, token):
        service.fault = hang
        loop = asyncio.get_running_loop()
        asked = [loop.create_task(ask(gateway, gateway.handshake(token))) for _ in range(3)]
        while not service.paths:
            await asyncio.sleep(0.005)
        assert (await ask(gateway, gateway.handshake("../x"))).status == 401  # waits for nobody
        assert {answer.status for answer in await asyncio.gather(*asked)} == {503}
        assert not service.released.is_set(), "the service hangs still"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_case_18_a_refusal_of_the_service_is_the_same_401_as_any(status):
    async with asking() as (gateway, provider, service, token):
        never = await ask(gateway, gateway.handshake("a/b"))
        service.fault = says(status)
        answer = await ask(gateway, gateway.handshake(token))
        assert seen(answer) == seen(never)
        assert provider.targets == []


async def test_case_18_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    validator = HttpTokens(url=f"http://127.0.0.1:{port}", provider="lab", clock=SystemClock())
    async with with_validator(validator) as (gateway, _):
        assert (await ask(gateway, gateway.handshake(new_token()))).status == 503


def contexts() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


def serving(ca: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


async def test_case_18_a_service_over_tls_is_believed_by_its_ca_and_name_alone(tmp_path, diary):
    diary.allowed += ["SSL Error on"]  # tornado names the peer and what is wrong
    ours, theirs = contexts()
    file = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(file))
    async with asking(tls=serving(ours, "127.0.0.1"), ca_file=str(file)) as (gateway, _, _, token):
        assert await opens(gateway, token)
    for wrong in (serving(theirs, "127.0.0.1"), serving(ours, "127.0.0.2")):
        async with asking(tls=wrong, ca_file=str(file)) as (gateway, _, service, token):
            assert (await ask(gateway, gateway.handshake(token))).status == 503
            assert service.paths == [], "the token was sent before the certificate was checked"


async def test_case_18_tls_that_never_comes_is_503(tmp_path, diary):
    diary.allowed += ["SSL Error on"]
    ours, _ = contexts()
    file = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(file))
    with token_service() as service:  # speaks no TLS
        url = service.url.replace("http:", "https:")
        validator = HttpTokens(url=url, ca_file=str(file), provider="lab", clock=SystemClock())
        async with with_validator(validator) as (gateway, _):
            assert (await ask(gateway, gateway.handshake(new_token()))).status == 503


async def test_case_18_what_is_asked_is_one_segment_of_a_path_with_the_secret(tmp_path, secrets_of_the_test):
    secrets_of_the_test.add(SECRET)
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    async with asking(secret_file=str(file)) as (gateway, _, service, _):
        for text in ("..", "../x", "a%2fb", "a?b", "a#b", "x" * 5000, "a%00", "%2e%2e"):
            assert (await ask(gateway, gateway.handshake(text))).status in (401, 431)
        assert service.paths == [f"/tokens/{text}" for text in ("a%252fb", "a%23b", "a%2500", "%252e%252e")]
        assert {headers["authorization"] for headers in service.headers} == {f"Bearer {SECRET}"}
        assert {headers["accept"] for headers in service.headers} == {"application/json"}


async def test_case_18_many_tokens_at_once_are_as_many_questions_and_no_more():
    async with asking() as (gateway, _, service, token):
        lock = threading.Lock()
        asked = 0

        def count(handler):
            nonlocal asked
            with lock:
                asked += 1
            send(handler, 500, b"")

        service.fault = count
        validator = [*gateway.kit.validators][-1]
        calls = (validator.inspect(Secret(new_token()), AccessContext()) for _ in range(200))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(answer).__name__ for answer in answers} == {"StoreUnavailable"}
        assert asked <= 200
        assert validator.seconds == 2.0
        service.fault = None
        assert await opens(gateway, token)
