"""auth.sealed through the whole proxy: opened once, resumed past its expiry, taken back unused."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import websockets.exceptions
from gateway import Gateway, PipeProvider, echo, resume_key, running, target
from sealing import AUDIENCE, claims, key_file, seal, tokens
from served import COMMAND, SETTINGS, serving
from websockets.asyncio.client import connect

from consolekit.auth.base import TokenStore
from consolekit.auth.chain import ValidatorChain
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.sealedkeys import Key
from consolekit.auth.stored import SingleUse
from consolekit.core.types import Scope
from consolekit.testing.clock import ManualClock
from consolekit.testing.rfbserver import RfbServer

GRACE = 30.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def key(keys: Path, clock: ManualClock) -> Key:
    return key_file(keys, clock)


@asynccontextmanager
async def site(keys: Path, clock: ManualClock, store: TokenStore | None = None) -> AsyncIterator[Gateway]:
    """A gateway that makes and takes sealed tokens."""
    async with (
        target(echo) as endpoint,
        running(PipeProvider({"web-1": endpoint}), clock=clock, store=store, grace_seconds=GRACE) as gateway,
    ):
        sealed, kit = tokens(keys, clock), gateway.kit
        kit.issuer = sealed
        once = SingleUse(sealed, kit.store, clock=clock, grace_seconds=GRACE)
        kit.validators = ValidatorChain([*kit.validators, once])
        yield gateway


class Shared(MemoryTokenStore):
    """Two gateways of one process use it; whoever made it closes it."""

    async def aclose(self) -> None:
        """Left open."""


async def talks(gateway: Gateway, token: str, resume: str = "") -> None:
    async with gateway.open(token, resume=resume) as viewer:
        await viewer.send(b"hello")
        assert await viewer.recv() == b"hello"
    await gateway.until_no_sessions()


async def refused(gateway: Gateway, token: str, resume: str = "") -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        await talks(gateway, token, resume)
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["code"] == "token_refused"


@pytest.mark.usefixtures("key")
async def test_a_token_of_ours_opens_once(keys: Path, clock: ManualClock) -> None:
    async with site(keys, clock) as gateway:
        link = await gateway.link("web-1")
        token = link.token.reveal()
        assert token in link.url.reveal()
        await talks(gateway, token)
        await refused(gateway, token)
        await refused(gateway, token, resume_key())
        assert gateway.kit.registry.get("lab").opened == ["web-1"]


async def test_a_token_of_another_program_opens_once(keys: Path, key: Key, clock: ManualClock) -> None:
    async with site(keys, clock) as gateway:
        token = seal(key, claims(clock))
        await talks(gateway, token)
        await refused(gateway, token)
        await refused(gateway, seal(key, claims(clock, aud="other")))


async def test_parameters_that_the_provider_does_not_take_open_nothing(
    keys: Path, key: Key, clock: ManualClock
) -> None:
    """Nobody has looked at them before: this token was not made here."""
    async with site(keys, clock) as gateway:
        await refused(gateway, seal(key, claims(clock, console={"params": {"admin": True}})))
        assert gateway.kit.registry.get("lab").opened == []


async def test_two_at_once_get_one_session(keys: Path, key: Key, clock: ManualClock) -> None:
    async with site(keys, clock) as gateway:
        token = seal(key, claims(clock))
        answers = await asyncio.gather(*(talks(gateway, token) for _ in range(8)), return_exceptions=True)
        assert len([answer for answer in answers if answer is None]) == 1


async def test_the_same_browser_resumes_past_the_tokens_expiry(
    keys: Path, key: Key, clock: ManualClock
) -> None:
    async with site(keys, clock) as gateway:
        token, browser = seal(key, claims(clock)), resume_key()
        async with gateway.open(token, resume=browser):
            clock.advance(3600)
        await gateway.until_no_sessions()
        await refused(gateway, token, resume_key())
        clock.advance(GRACE - 1)
        await talks(gateway, token, browser)
        clock.advance(GRACE)
        await refused(gateway, token, browser)


@pytest.mark.parametrize("scope", [Scope.SERVER, Scope.SUBJECT, Scope.GRANT], ids=lambda scope: scope.value)
async def test_revoked_before_its_first_use(scope: Scope, keys: Path, key: Key, clock: ManualClock) -> None:
    """Here, and in a proxy that starts later; what is issued later opens."""
    store = Shared(clock=clock)
    async with site(keys, clock, store) as gateway:
        token = seal(key, claims(clock))
        value = {Scope.SERVER: "web-1", Scope.SUBJECT: "ann", Scope.GRANT: "0123456789abcdef"}[scope]
        assert await gateway.kit.revoke_all(scope, value) == 0
        await refused(gateway, token)
        async with site(keys, clock, store) as later:
            await refused(later, token)
            clock.advance(1)
            await talks(later, seal(key, claims(clock, jti="fedcba9876543210")))


async def test_revoked_while_it_is_used(keys: Path, key: Key, clock: ManualClock) -> None:
    async with site(keys, clock) as gateway:
        token, browser = seal(key, claims(clock)), resume_key()
        async with gateway.open(token, resume=browser) as viewer:
            await gateway.kit.revoke_all(Scope.GRANT, "0123456789abcdef")
            async with asyncio.timeout(20):
                await viewer.wait_closed()
            assert viewer.close_code == 4000
        clock.advance(60)
        await refused(gateway, token, browser)


# ---- as an operator runs it

CONFIG = f"""
[validators.portal]
use = "sealed"
keys_file = "keys.json"
audience = "{AUDIENCE}"
[providers.lab]
use = "vnc"
[providers.lab.servers.web-1]
address = "{{}}"
"""


def program(*args: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], input=text, capture_output=True, text=True, check=False)


async def shows(url: str, token: str) -> None:
    protocols = ["binary", f"consolekit.token.{token}"]
    base = url.replace("http", "ws", 1)
    async with connect(f"{base}/ws", subprotocols=protocols, origin=url, proxy=None) as viewer:
        assert await viewer.recv() == b"RFB 003.008\n"


async def status(url: str, token: str) -> int:
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        await shows(url, token)
    return caught.value.response.status_code


async def test_from_the_command_line_to_the_console_and_back(tmp_path: Path) -> None:
    config, keys = tmp_path / "consolekit.toml", tmp_path / "keys.json"
    assert program("token", "keys", "new", str(keys)).returncode == 0
    settings = SETTINGS.replace("[tokens]", '[tokens]\nissuer = "portal"')
    async with RfbServer() as screen:
        providers = CONFIG.format(screen.address)
        with serving(tmp_path, providers, settings=settings) as first:
            url = first.urls["proxy"]
            one, two = (program("token", "issue", "web-1", "-c", str(config)).stdout.strip() for _ in "12")
            assert one.startswith("eyJ")
            await shows(url, one)
            assert await status(url, one) == 401
            checked = program("token", "check", "-c", str(config), text=one)
            assert (checked.returncode, checked.stdout.splitlines()[0]) == (1, "used")
            assert program("token", "check", "-c", str(config), text=two).returncode == 0
            program("token", "keys", "rotate", str(keys))
            three = program("token", "issue", "web-1", "-c", str(config)).stdout.strip()
            async with asyncio.timeout(20):  # the running proxy looks at the file once a second
                while await quiet_status(url, three) == 401:
                    await asyncio.sleep(0.05)
            revoked = program("token", "revoke", "--server", "web-1", "-c", str(config))
            assert revoked.returncode == 0, revoked.stderr
        logged = first.log.read_text()
        with serving(tmp_path, providers, settings=settings) as second:
            assert await status(second.urls["proxy"], two) == 401
            logged += second.log.read_text()
    for entry in json.loads(keys.read_text())["keys"]:
        assert entry["k"] not in logged
    for token in (one, two, three):
        assert token not in logged


async def quiet_status(url: str, token: str) -> int:
    try:
        await shows(url, token)
    except websockets.exceptions.InvalidStatus as exc:
        return exc.response.status_code
    return 101
