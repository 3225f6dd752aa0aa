"""The validator contract over the shipped validators."""

from __future__ import annotations

import secrets
from typing import ClassVar

import attrs
import pytest
from novastub import nova
from sealing import key_file, tokens
from tokenservice import token_service
from tokentable import EVERYTHING, TableContract

from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.nova import NovaTokens
from consolekit.auth.stored import SingleUse, StoredTokens
from consolekit.auth.tokenfile import FileTokens
from consolekit.core.types import Secret
from consolekit.http.callback import HttpTokens
from consolekit.testing import TokenValidatorContract


class TestStoredTokens(TokenValidatorContract):
    keeps: ClassVar = EVERYTHING
    claims_form: ClassVar = True

    async def make_validator(self, clock):
        self.tokens = StoredTokens(MemoryTokenStore(clock=clock), clock=clock)
        return self.tokens

    async def make_token(self, wish):
        return await self.tokens.issue(attrs.evolve(wish, target=None))


class TestSealedTokens(TokenValidatorContract):
    keeps: ClassVar = (*EVERYTHING, "target")
    claims_form: ClassVar = True

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.path = tmp_path / "keys.json"

    async def make_validator(self, clock):
        key_file(self.path, clock)
        self.tokens = tokens(self.path, clock)
        return self.tokens

    async def make_token(self, wish):
        return await self.tokens.issue(wish)


class TestFileTokens(TokenValidatorContract):
    keeps: ClassVar = ("request.key", "provider", "target")
    expires: ClassVar = False

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.path = tmp_path / "tokens"

    async def make_validator(self, clock):
        self.path.write_text("")
        self.clock = clock
        return FileTokens(path=self.path, provider="lab", clock=clock)

    async def make_token(self, wish):
        token = secrets.token_urlsafe(24)
        with self.path.open("a") as file:
            file.write(f"{token}: {wish.target.host}:{wish.target.port}\n")
        self.clock.advance(1)
        return Secret(token)


class TestHttpTokens(TokenValidatorContract):
    keeps: ClassVar = (*EVERYTHING[1:], "request.key", "request.server_id", "request.subject", "target")
    expires: ClassVar = False
    pattern: ClassVar = ""

    @pytest.fixture(autouse=True)
    def _service(self):
        with token_service() as self.service:
            yield

    async def make_validator(self, clock):
        return HttpTokens(url=self.service.url, provider="none", pattern=self.pattern, clock=clock)

    async def make_token(self, wish):
        token, request, target = secrets.token_urlsafe(24), wish.request, wish.target
        self.service.replies[token] = {
            "protocol": request.key.protocol,
            "type": request.key.type,
            "server": request.server_id,
            "subject": request.subject,
            "provider": wish.provider,
            "expires_in": wish.expires_at - wish.issued_at,
            "session_seconds": wish.session_seconds,
            "target": {"host": target.host, "port": target.port},
        }
        return Secret(token)


class TestHttpTokensWithPattern(TestHttpTokens):
    claims_form: ClassVar = True
    pattern: ClassVar = "[A-Za-z0-9_-]{32}"


class TestNovaTokens(TokenValidatorContract):
    keeps: ClassVar = ("request.key", "provider", "target")
    expires: ClassVar = False
    claims_form: ClassVar = True

    @pytest.fixture(autouse=True)
    def _nova(self):
        with nova() as self.stub:
            yield

    async def make_validator(self, clock):
        return NovaTokens(auth=self.stub.auth(), vnc_provider="lab", clock=clock)

    async def make_token(self, wish):
        return Secret(self.stub.add(host=wish.target.host, port=wish.target.port))


class TestTable(TableContract):
    """The right one, from which the wrong ones differ in one thing each."""


class TestSingleUse(TableContract):
    async def make_validator(self, clock):
        return SingleUse(await super().make_validator(clock), MemoryTokenStore(clock=clock), clock=clock)
