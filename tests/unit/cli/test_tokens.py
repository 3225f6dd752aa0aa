"""cli.tokens: made, checked, listed, revoked, of both kinds; a token is shown by ``issue`` alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click import testing
from click.testing import CliRunner, Result
from sealing import AUDIENCE, claims, seal

from consolekit.auth.base import AccessContext
from consolekit.auth.sealedkeys import read_keys
from consolekit.auth.sqlite import SqliteTokenStore
from consolekit.cli.main import cli
from consolekit.config.build import build_kit
from consolekit.config.load import load
from consolekit.core.types import Revocation, Secret, SystemClock

Call = Callable[..., Result]
SEALED = f"""
[tokens]
path = "tokens.db"
issuer = "portal"
[api.keys.portal]
sha256 = "{"ab" * 32}"
[providers.lab]
use = "vnc"
[providers.lab.servers.web-1]
address = "127.0.0.1:5900"
[validators.portal]
use = "sealed"
keys_file = "keys.json"
audience = "{AUDIENCE}"
"""


@pytest.fixture(params=["stored", "sealed"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def config(run: Call, file: Path, kind: str) -> Path:
    """A right configuration whose tokens are of this kind."""
    if kind == "sealed":
        run("token", "keys", "new", str(file.parent / "keys.json"))
        file.write_text(SEALED)
    return file


@pytest.fixture
def sealed(run: Call, file: Path) -> Path:
    run("token", "keys", "new", str(file.parent / "keys.json"))
    file.write_text(SEALED)
    return file


@pytest.fixture
def check(run: Call) -> Call:
    """``run`` brings the environment; the token goes in as a pipe would bring it."""

    def call(config: Path, token: str, *args: str) -> Result:
        words = ["token", "check", "-c", str(config), *args]
        return CliRunner().invoke(cli, words, prog_name="consolekit", input=token, terminal_width=100)

    return call


def issued(run: Call, config: Path, *args: str) -> dict[str, str]:
    result = run("token", "issue", "web-1", "-c", str(config), "--json", *args)
    assert result.exit_code == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return found


def redeem(config: Path, token: str) -> None:
    async def work() -> None:
        kit = build_kit(load(config))
        await kit.validators.redeem(Secret(token), AccessContext())
        await kit.aclose()

    asyncio.run(work())


def revocations(config: Path) -> list[Revocation]:
    async def work() -> list[Revocation]:
        store = SqliteTokenStore(config.parent / "tokens.db", clock=SystemClock())
        _, found = await store.revocations(-1)
        await store.aclose()
        return found

    return asyncio.run(work())


def test_the_token_alone_is_the_result(run: Call, config: Path, kind: str) -> None:
    result = run("token", "issue", "web-1", "-c", str(config), "--subject", "ann", "--ttl", "5")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert result.stdout.startswith("ckt_" if kind == "stored" else "eyJ")
    assert result.stdout.count("\n") == 1
    assert set(issued(run, config)) == {"token", "grant", "expires_at"}


def test_a_good_token(run: Call, check: Call, config: Path) -> None:
    made = issued(run, config, "--subject", "ann", "--view")
    result = check(config, made["token"] + "\n", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["state"], found["grant"]) == ("good", made["grant"])
    assert (found["server"], found["subject"], found["mode"]) == ("web-1", "ann", "view")
    assert found["expires_at"] == made["expires_at"]
    text = check(config, made["token"])
    assert text.stdout.splitlines()[0] == "good"
    assert "server: web-1" in text.stdout
    assert made["token"] not in text.output + result.output


def test_a_used_token(run: Call, check: Call, config: Path) -> None:
    made = issued(run, config)
    redeem(config, made["token"])
    result = check(config, made["token"], "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "used"


def test_an_expired_token(check: Call, sealed: Path) -> None:
    now, (key,) = SystemClock(), read_keys(sealed.parent / "keys.json").keys
    token = seal(key, claims(now, iat=now.now() - 60, exp=now.now() - 1))
    result = check(sealed, token)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "expired")


def test_a_revoked_token(run: Call, check: Call, config: Path) -> None:
    """A sealed one too, which no store has seen."""
    made = issued(run, config)
    assert run("token", "revoke", made["grant"], "-c", str(config)).exit_code == 0
    result = check(config, made["token"])
    assert (result.exit_code, result.stdout) == (1, "refused\n")


@pytest.mark.parametrize("token", ["x", "ckt_" + "a" * 43, "a.b.c.d.e", "\xff", "ü" * 9])
def test_a_token_of_nobody(check: Call, config: Path, token: str) -> None:
    result = check(config, token)
    assert (result.exit_code, result.output) == (1, "refused\n")


def test_no_token(check: Call, config: Path) -> None:
    result = check(config, " \n")
    assert result.exit_code == 2
    assert "no token on standard input" in result.stderr


def test_a_token_on_the_command_line_is_not_taken_and_not_repeated(
    run: Call, check: Call, config: Path
) -> None:
    made = issued(run, config)
    result = check(config, "", made["token"])
    assert result.exit_code == 2
    assert "comes on standard input" in result.stderr
    assert made["token"] not in result.output


def test_a_person_is_asked_and_sees_nothing(
    run: Call, check: Call, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issued(run, config)
    monkeypatch.setattr(testing._NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
    result = check(config, made["token"] + "\n")
    assert result.stdout.splitlines()[0] == "good"
    assert "Token: " in result.stderr
    assert made["token"] not in result.output


def test_list(run: Call, config: Path, kind: str) -> None:
    ann, bob = (issued(run, config, "--subject", name) for name in ("ann", "bob"))
    if kind == "sealed":
        assert run("token", "list", "-c", str(config)).stderr == "no tokens\n", "before their first use"
    for made in (ann, bob):
        redeem(config, made["token"])
    result = run("token", "list", "-c", str(config))
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["GRANT", "SERVER", "CONSOLE", "MODE", "SUBJECT", "PROVIDER", "ISSUED", "EXPIRES"]
    assert len(rows) == 2
    for args, grants in (
        (["--subject", "ann"], [ann["grant"]]),
        (["--server", "web-1"], [ann["grant"], bob["grant"]]),
        (["--server", "web-2"], []),
    ):
        found = json.loads(run("token", "list", "-c", str(config), "--json", *args).stdout)
        assert [grant["grant"] for grant in found] == grants
    assert ann["token"] not in result.output


def test_revoke_one_that_was_used(run: Call, config: Path) -> None:
    made = issued(run, config)
    redeem(config, made["token"])
    result = run("token", "revoke", made["grant"], "-c", str(config))
    assert result.stdout == f"grant {made['grant']} is revoked\n"
    assert [(order.scope.value, order.value) for order in revocations(config)] == [("grant", made["grant"])]


def test_revoke_many(run: Call, config: Path, kind: str) -> None:
    for name in ("ann", "bob"):
        issued(run, config, "--subject", name)
    known = 0 if kind == "sealed" else 1
    result = run("token", "revoke", "--subject", "ann", "-c", str(config))
    assert result.stdout.startswith(f"{known} token{'' if known == 1 else 's'} of subject ann revoked")
    run("token", "revoke", "--server", "web-1", "-c", str(config))
    assert [(order.scope.value, order.value) for order in revocations(config)] == [
        ("subject", "ann"),
        ("server", "web-1"),
    ]


def test_a_grant_that_nobody_knows(run: Call, file: Path) -> None:
    """Without sealed tokens there is none that the store does not know."""
    result = run("token", "revoke", "0123456789abcdef", "-c", str(file))
    assert (result.exit_code, result.stderr) == (1, "error: no such grant\n")


def test_a_token_in_the_place_of_a_grant_does_not_get_into_the_store(run: Call, sealed: Path) -> None:
    for token in (issued(run, sealed)["token"], "ckt_" + "a" * 43):
        result = run("token", "revoke", token, "-c", str(sealed))
        assert result.exit_code == 2
        assert token not in result.output
    assert revocations(sealed) == []


@pytest.mark.parametrize("args", [[], ["g", "--server", "s"], ["--server", "s", "--subject", "a"]])
def test_one_thing_is_revoked(run: Call, file: Path, args: list[str]) -> None:
    result = run("token", "revoke", *args, "-c", str(file))
    assert result.exit_code == 2
    assert "give a GRANT, or --server, or --subject" in result.stderr


@pytest.mark.parametrize("args", [["issue", "web-1"], ["list"], ["revoke", "x"]])
def test_a_memory_store_is_another_processs(run: Call, args: list[str]) -> None:
    result = run("token", *args, env={"CONSOLEKIT_TOKENS__STORE": "memory"})
    assert result.exit_code == 2
    assert "only the running server sees; ask its API" in result.stderr
