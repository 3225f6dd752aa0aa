"""CLI: ``token``: tokens made, looked at, listed and taken back, through the configuration and its store.

A token is read from standard input or asked for, never taken from the command line: there every user of the
machine can see it. Only ``issue`` prints one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from consolekit.auth.life import GrantLife
from consolekit.auth.sealedschema import GRANT_ID
from consolekit.cli.frame import FAILURE, OK, Group
from consolekit.cli.localkit import caller, with_kit
from consolekit.cli.options import config_option, json_option
from consolekit.cli.output import moment, note, say, say_json, table
from consolekit.cli.tokenkeys import keys
from consolekit.cli.wanted import wanted_console
from consolekit.config.load import Loaded
from consolekit.core.errors import InvalidRequest, NotFound, Problem, TokenRefused
from consolekit.core.schema import validator_of
from consolekit.core.types import Grant, Scope, Secret
from consolekit.kit import ConsoleKit, ConsoleLink

_INSTEAD = "ask its API: POST /servers/SERVER/console, DELETE /grants/GRANT"
_LONGEST_INPUT = 64 * 1024
_TITLES = ["GRANT", "SERVER", "CONSOLE", "MODE", "SUBJECT", "PROVIDER", "ISSUED", "EXPIRES"]
_GRANT_ID = validator_of(GRANT_ID)


@click.group(cls=Group)
def token() -> None:
    """Make, check and take back tokens; keep the keys of sealed ones."""


token.add_command(keys)


@token.command()
@wanted_console
@json_option
@config_option
def issue(loaded: Loaded, server: str, data: Mapping[str, str | int], as_json: bool) -> None:
    """Print a token for the console of SERVER, and nothing else.

    Of the kind that `tokens.issuer` names; for programs that make links by themselves. `consolekit console
    create` prints the whole link.
    """

    async def work(kit: ConsoleKit) -> ConsoleLink:
        return await kit.create(server, data, caller=caller())

    link = with_kit(loaded, work, instead=_INSTEAD, providers=True)
    if not as_json:
        say(link.token.reveal())
        return
    say_json({"token": link.token.reveal(), "grant": link.grant_id, "expires_at": moment(link.expires_at)})


# ---- check


@token.command(context_settings={"allow_extra_args": True})
@json_option
@config_option
def check(loaded: Loaded, as_json: bool) -> int:
    """Say what a token stands for, and whether it opens anything.

    Reads the token from standard input, or asks for it. Says good, used, expired or refused; exit code 0 for
    good, 1 for the others. The token is not used up.
    """
    if click.get_current_context().args:
        raise click.UsageError("the token comes on standard input: on a command line everybody can see it")
    shown = _read_token()

    async def work(kit: ConsoleKit) -> dict[str, object]:
        try:
            life = await kit.inspect(shown)
        except TokenRefused:
            return {"state": "refused"}
        return {"state": _state(life, kit.clock.now()), **_plain(life.grant)}

    found = with_kit(loaded, work, instead="it alone can check its tokens", providers=True)
    if as_json:
        say_json(found)
    else:
        for name, value in found.items():
            say(f"{name}: {value}" if name != "state" else str(value))
    return OK if found["state"] == "good" else FAILURE


def _read_token() -> Secret:
    if sys.stdin.isatty():
        text = click.prompt("Token", hide_input=True, err=True)
    else:
        text = sys.stdin.buffer.read(_LONGEST_INPUT).decode("utf-8", "replace")
    if not (text := text.strip()):
        raise click.UsageError("there is no token on standard input")
    return Secret(text)


def _state(life: GrantLife, now: float) -> str:
    if life.used_at is not None:
        return "used"
    return "good" if life.live(now) else "expired"


def _plain(grant: Grant) -> dict[str, object]:
    request = grant.request
    return {
        "grant": grant.id,
        "server": request.server_id,
        "protocol": request.key.protocol,
        "type": request.key.type,
        "mode": request.mode.value,
        "subject": request.subject,
        "provider": grant.provider,
        "issued_at": moment(grant.issued_at),
        "expires_at": moment(grant.expires_at),
    }


# ---- list, revoke


@token.command("list")
@click.option("--server", metavar="ID", help="Those of one server only.")
@click.option("--subject", metavar="NAME", help="Those for one subject only.")
@json_option
@config_option
def list_grants(loaded: Loaded, server: str | None, subject: str | None, as_json: bool) -> None:
    """List what the store knows that is good still or in use, oldest first.

    Sealed tokens and those of other issuers are known from their first use on.
    """

    async def work(kit: ConsoleKit) -> list[Grant]:
        return await kit.store.grants(server_id=server, subject=subject)

    found = with_kit(loaded, work, instead="ask its API: GET /sessions")
    if as_json:
        say_json([_plain(grant) for grant in found])
    elif not found:
        note("no tokens")
    else:
        table(_TITLES, [_row(grant) for grant in found])


def _row(grant: Grant) -> list[str]:
    request = grant.request
    return [
        grant.id,
        request.server_id,
        str(request.key),
        request.mode.value,
        request.subject,
        grant.provider,
        moment(grant.issued_at),
        moment(grant.expires_at),
    ]


@token.command()
@click.argument("grant", required=False)
@click.option("--server", metavar="ID", help="Instead: every one of this server.")
@click.option("--subject", metavar="NAME", help="Instead: every one for this subject.")
@config_option
def revoke(loaded: Loaded, grant: str | None, server: str | None, subject: str | None) -> None:
    """Take back the token of GRANT, or all that were issued so far.

    They open nothing any more, and the consoles that they have opened end. `consolekit token list`, `console
    create` and `sessions list` show the grants; of a sealed token it is the `jti`.
    """
    scopes = {Scope.GRANT: grant, Scope.SERVER: server, Scope.SUBJECT: subject}
    named = [(scope, value) for scope, value in scopes.items() if value is not None]
    if len(named) != 1:
        raise click.UsageError("give a GRANT, or --server, or --subject")
    ((scope, value),) = named

    async def work(kit: ConsoleKit) -> str:
        if scope is Scope.GRANT:
            return await _revoke_one(kit, value, elsewhere=bool(loaded.config.validators))
        count = await kit.revoke_all(scope, value)
        known = f"{count} token{'' if count == 1 else 's'} of {scope.value} {value} revoked"
        return f"{known}; what no store knows yet is refused, and its live consoles end now"

    say(with_kit(loaded, work, instead=_INSTEAD))


async def _revoke_one(kit: ConsoleKit, grant_id: str, *, elsewhere: bool) -> str:
    """Take one back; one that the store does not know only where it may be in a token all the same."""
    try:
        await kit.revoke(grant_id, caller=caller())
    except NotFound:
        if not elsewhere:
            raise
        if not _GRANT_ID.is_valid(grant_id):  # a token, put in the wrong place, must not get into the store
            problem = Problem("GRANT", "is no grant's id; a token is not what is wanted here")
            raise InvalidRequest([problem]) from None
        await kit.revoke_all(Scope.GRANT, grant_id)
        return f"grant {grant_id} is revoked; the store has not seen it yet"
    return f"grant {grant_id} is revoked"
