"""The validator contract over validators that are wrong on purpose: the named check finds each fault."""

from __future__ import annotations

import asyncio
import logging
import secrets
import unittest
import uuid
from typing import ClassVar

import attrs
import pytest
from tokentable import Table, TableContract

from consolekit.auth.life import GrantLife
from consolekit.core.errors import TokenRefused
from consolekit.core.types import Secret
from consolekit.testing import TokenValidatorContract


class GivesNone(Table):
    """As websockify's plug-ins do."""

    async def inspect(self, token, context):
        grant = self.grants.get(token.reveal())
        return None if grant is None else GrantLife(grant=grant)

    async def validate(self, token, context):
        life = await self.inspect(token, context)
        return None if life is None else await super().validate(token, context)


class IgnoresCase(Table):
    async def inspect(self, token, context):
        return await super().inspect(Secret(token.reveal().lower()), context)


class AcceptsABeginning(Table):
    async def inspect(self, token, context):
        found = [grant for known, grant in self.grants.items() if token.reveal().startswith(known)]
        return GrantLife(grant=found[0]) if found else await super().inspect(token, context)


class AcceptsWhatNobodyChecked(Table):
    """Splits at the first character that it does not like, and looks at what is left."""

    async def inspect(self, token, context):
        if not token.reveal().strip():
            return GrantLife(grant=next(iter(self.grants.values())))
        return await super().inspect(token, context)


class ComparesAHash(Table):
    """Of a part of the token alone."""

    async def inspect(self, token, context):
        text = token.reveal()
        if len(text) == 36:
            for known, grant in self.grants.items():
                if (known[:8], known[-8:]) == (text[:8], text[-8:]):
                    return GrantLife(grant=grant)
        return await super().inspect(token, context)


class LogsTheToken(Table):
    async def validate(self, token, context):
        logging.getLogger("wrong").debug("resolving token %s", token.reveal())
        return await super().validate(token, context)


class SpendsWhenAsked(Table):
    async def inspect(self, token, context):
        life = await super().inspect(token, context)
        self.grants[token.reveal()] = attrs.evolve(life.grant, expires_at=0.0)
        return life

    async def validate(self, token, context):
        grant = (await Table.inspect(self, token, context)).grant
        if self.clock.now() >= grant.expires_at:
            raise TokenRefused("expired")
        return grant


class RaisesWhatADictRaises(Table):
    async def inspect(self, token, context):
        if token.reveal() not in self.grants:
            raise KeyError("token")
        return await super().inspect(token, context)


class ShowsTheToken(Table):
    def __repr__(self):
        return f"ShowsTheToken({self.grants})"


class QuotesTheToken(Table):
    async def inspect(self, token, context):
        if token.reveal() not in self.grants:
            raise TokenRefused("unknown") from KeyError(token.reveal())
        return await super().inspect(token, context)


class AliveAtExpiry(Table):
    """``>`` for ``>=``."""

    async def validate(self, token, context):
        grant = (await self.inspect(token, context)).grant
        if self.clock.now() > grant.expires_at:
            raise TokenRefused("expired")
        return grant


class DeadTooSoon(Table):
    async def validate(self, token, context):
        grant = (await self.inspect(token, context)).grant
        if self.clock.now() >= grant.expires_at - 1:
            raise TokenRefused("expired")
        return grant


class TellsWhy(Table):
    class Unknown(TokenRefused):
        title = "There is no such token."

    async def inspect(self, token, context):
        try:
            return await super().inspect(token, context)
        except TokenRefused:
            raise self.Unknown("unknown") from None


class RecognisesByLooking(Table):
    def recognises(self, token):
        with open("/etc/hostname", encoding="ascii"):
            return False


class RecognisesWithAnError(Table):
    def recognises(self, token):
        return bool(uuid.UUID(token.reveal()))


@attrs.define(eq=False, repr=False)
class KeepsItsLock(Table):
    seconds: ClassVar = 0.05
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    async def validate(self, token, context):
        await self.lock.acquire()
        await asyncio.sleep(0)
        self.lock.release()
        return await super().validate(token, context)


class MixesUp(Table):
    """Keeps what it works on in itself, as if it were alone."""

    async def validate(self, token, context):
        self.token = token
        await asyncio.sleep(0)
        return await super().validate(self.token, context)


class NamesEachUse(Table):
    async def validate(self, token, context):
        return attrs.evolve(await super().validate(token, context), id=secrets.token_hex(8))


class TellsEverybody(Table):
    ended = None

    async def released(self, grant, outcome, *, resumable):
        self.ended = outcome

    async def outcome(self, token, context):
        await self.inspect(token, context)
        return self.ended


class ClosesOnce(Table):
    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed")
        self.closed = True


class WaitsForEver(Table):
    seconds = float("inf")


class ForgetsTheServer(Table):
    async def inspect(self, token, context):
        life = await super().inspect(token, context)
        return GrantLife(grant=attrs.evolve(life.grant, provider="another"))


class KnowsItsGrantsOnly(Table):
    async def released(self, grant, outcome, *, resumable):
        raise LookupError("no such grant")


WRONG = {
    GivesNone: {"test_never_none"},
    IgnoresCase: {"test_another_case_opens_nothing"},
    AcceptsABeginning: {"test_a_part_or_more_of_a_token_opens_nothing"},
    AcceptsWhatNobodyChecked: {"test_what_is_no_token_opens_nothing"},
    ComparesAHash: {"test_another_token_of_the_same_form_opens_nothing"},
    LogsTheToken: {"test_no_log_holds_a_token"},
    SpendsWhenAsked: {"test_inspect_does_not_redeem"},
    RaisesWhatADictRaises: {"test_every_refusal_is_token_refused"},
    ShowsTheToken: {"test_no_repr_holds_a_token"},
    QuotesTheToken: {"test_no_exception_text_holds_a_token"},
    AliveAtExpiry: {"test_a_token_is_dead_at_its_expiry"},
    DeadTooSoon: {"test_a_token_opens_until_just_before_its_expiry"},
    TellsWhy: {"test_every_refusal_looks_the_same"},
    RecognisesByLooking: {"test_recognises_asks_nobody"},
    RecognisesWithAnError: {"test_recognises_asks_nobody"},
    KeepsItsLock: {"test_cancelled_anywhere_it_works_on"},
    MixesUp: {"test_two_at_once_get_what_is_theirs"},
    NamesEachUse: {"test_the_same_browser_has_the_same_grant"},
    TellsEverybody: {"test_an_outcome_is_for_its_owner_alone"},
    ClosesOnce: {"test_closing_twice_is_no_error"},
    WaitsForEver: {"test_its_deadline_is_one"},
    ForgetsTheServer: {
        "test_a_good_token_gives_its_grant",
        "test_inspect_does_not_redeem",
        "test_a_token_opens_until_just_before_its_expiry",
        "test_two_at_once_get_what_is_theirs",
    },
    KnowsItsGrantsOnly: {"test_the_end_of_an_unknown_grant_is_no_error"},
}


def failed_checks(wrong):
    """Run the whole contract; the names of the checks that fail by their own assertion."""

    class Contract(TableContract):
        made = wrong

    failed = set()
    for name in sorted(name for name in dir(Contract) if name.startswith("test_")):
        try:
            getattr(Contract(), name)()
        except AssertionError:
            failed.add(name)
        except unittest.SkipTest:
            raise AssertionError(f"{name} was not run") from None
    return failed


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_validator_fails_exactly_the_checks_that_name_its_fault(wrong):
    assert failed_checks(wrong) == WRONG[wrong]


def test_every_check_is_failed_by_somebody():
    checks = {name for name in dir(TokenValidatorContract) if name.startswith("test_")}
    assert checks == set.union(*WRONG.values())
