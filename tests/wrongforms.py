"""Test support: providers that declare something wrong, or give what is none. Importable as ``wrongforms``.

Each differs from ``lightsout.LightsOut`` in one thing; ``WRONG`` says which checks of the kit find it.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from lightsout import KeyFilter, LightsContract, LightsOut

from consolekit import CLIENT, SERVER, ConsoleKey, Endpoint, Mode, Transport, read, send
from consolekit.core.errors import ConfigError, ConsoleUnavailable, Problem, UnknownServer

SCHEMA = LightsOut.params_schema
CONFIG = LightsOut.config_schema


class ForTheNextVersion(LightsOut):
    api_version = 2


class ClosesMaybeAwaitable(LightsOut):
    def close(self, endpoint):
        return super().close(endpoint)


class OffersAPairTwice(LightsOut):
    keys = LightsOut.keys * 2


class RefusesWithoutAReason(LightsOut):
    refused_keys: ClassVar = {ConsoleKey("serial", "telnet"): ""}


class RefersElsewhere(LightsOut):
    params_schema: ClassVar = {**SCHEMA, "$defs": {"a": {"$ref": "https://example.org/a.json"}}}


class TakesWhatItDoesNotKnow(LightsOut):
    params_schema: ClassVar = {key: SCHEMA[key] for key in ("type", "properties")}


class HasAnOpenTableInside(LightsOut):
    config_schema: ClassVar = {**CONFIG, "properties": {**CONFIG["properties"], "labels": {"type": "object"}}}


class TakesAnyLine(LightsOut):
    params_schema: ClassVar = {**SCHEMA, "properties": {"line": {}}}


class CountsLinesFromTwo(LightsOut):
    params_schema: ClassVar = {
        **SCHEMA,
        "properties": {"line": {"type": "integer", "minimum": 2, "maximum": 3}},
    }


class WantsAnotherTable(LightsOut):
    @classmethod
    def from_config(cls, config, *, shared):
        if not isinstance(config["address"], tuple):
            raise ConfigError([Problem("address", "must be a pair")])
        return super().from_config(config, shared=shared)


class QuotesItsTable(LightsOut):
    @classmethod
    def from_config(cls, config, *, shared):
        if config["address"].endswith("99"):
            raise ConfigError([Problem("address", f"is wrong in {config}")])
        return super().from_config(config, shared=shared)


class RaisesWhatPythonRaises(LightsOut):
    @classmethod
    def from_config(cls, config, *, shared):
        if config["address"].endswith("99"):
            raise ValueError("port")
        return super().from_config(config, shared=shared)


class SaysYes(LightsOut):
    async def check(self, request):
        await super().check(request)
        return True


class GivesAUrl(LightsOut):
    async def open(self, request):
        return attrs.evolve(await super().open(request), host="https://192.0.2.9")


class KnowsNobody(LightsOut):
    """Takes an unknown server for one that is away: the next provider is never asked."""

    async def check(self, request):
        try:
            await super().check(request)
        except UnknownServer as exc:
            raise ConsoleUnavailable("no such server") from exc


class SaysUnavailableForOff(LightsOut):
    def told(self, answer):
        if answer.get("error") == "off":
            raise ConsoleUnavailable("it is off")
        return super().told(answer)


class AdoptsAnyPlace(LightsOut):
    async def adopt(self, request, target):
        return Endpoint(host=target.host, port=target.port)


class NamesWithText(LightsOut):
    def named(self, endpoint):
        return f"{endpoint.host}:{endpoint.port}"


class KeepsOneScript(LightsOut):
    script = None

    def handshake(self, endpoint):
        self.script = self.script or super().handshake(endpoint)
        return self.script


class LooksUpTheAnswer(LightsOut):
    """Garbage is a KeyError."""

    def handshake(self, endpoint):
        yield from send(SERVER, b"TICKET " + endpoint.secret.reveal().encode() + b"\n")
        hello = {b"OK\n": b"hello\n"}
        yield from send(CLIENT, hello[(yield from read(SERVER, 3))])


class OffersLookingWithoutAFilter(LightsOut):
    def viewer_filter(self, endpoint, mode):
        return None


class SharesItsFilter(LightsOut):
    one = KeyFilter(Mode.INTERACT)

    def viewer_filter(self, endpoint, mode):
        return self.one if mode is Mode.INTERACT else KeyFilter(mode)


class DropsWhatItDoesNotKnow(LightsOut):
    """In the stream of a viewer that may act."""

    def viewer_filter(self, endpoint, mode):
        made = KeyFilter(mode)
        feed = made.feed
        made.feed = lambda data: feed(data).replace(b"\0", b"")
        return made


class TakesAPieceForAMessage(LightsOut):
    """TCP splits anywhere; a key's second half is taken for a message."""

    def viewer_filter(self, endpoint, mode):
        made = KeyFilter(mode)
        feed = made.feed

        def feed_one(data):
            made._key = False
            return feed(data)

        made.feed = feed_one if mode is Mode.VIEW else feed
        return made


class ShowsTheTicket(LightsOut):
    """As part of a path, which is logged."""

    contract = None

    async def open(self, request):
        given = await super().open(request)
        path = f"/console?ticket={given.secret.reveal()}"
        return attrs.evolve(given, transport=Transport.WS, path=path)


class KeepsTextForASecret(LightsOut):
    def __repr__(self):
        return f"KeepsTextForASecret(password={self._password.reveal()})"


class PathlessContract(LightsContract):
    """A ticket in the path makes each console another place."""

    def place(self, endpoint):
        return endpoint.host, endpoint.port


ShowsTheTicket.contract = PathlessContract

WRONG = {
    ForTheNextVersion: {"test_it_is_written_for_this_contract"},
    ClosesMaybeAwaitable: {"test_it_is_written_for_this_contract"},
    OffersAPairTwice: {"test_its_keys_are_pairs"},
    RefusesWithoutAReason: {"test_its_keys_are_pairs"},
    RefersElsewhere: {"test_its_schemas_are_json_schema"},
    TakesWhatItDoesNotKnow: {
        "test_its_schemas_are_closed",
        "test_wrong_parameters_are_refused_with_their_place",
    },
    HasAnOpenTableInside: {"test_its_schemas_are_closed"},
    TakesAnyLine: {
        "test_every_parameter_has_a_rule",
        "test_wrong_parameters_are_refused_with_their_place",
    },
    CountsLinesFromTwo: {"test_good_parameters_are_accepted"},
    WantsAnotherTable: {"test_a_right_table_is_accepted"},
    QuotesItsTable: {"test_a_wrong_table_is_refused_with_its_place"},
    RaisesWhatPythonRaises: {"test_a_wrong_table_is_refused_with_its_place"},
    SaysYes: {"test_check_says_nothing_of_a_good_server"},
    GivesAUrl: {"test_open_gives_a_well_formed_endpoint"},
    KnowsNobody: {"test_an_unknown_server_is_unknown"},
    SaysUnavailableForOff: {"test_a_refusal_says_why"},
    AdoptsAnyPlace: {"test_what_others_have_named_is_checked"},
    NamesWithText: {"test_an_endpoint_can_be_named"},
    KeepsOneScript: {
        "test_each_session_has_a_script_of_its_own",
        "test_the_handshake_stands_every_delivery",
    },
    LooksUpTheAnswer: {"test_the_handshake_stands_every_delivery"},
    OffersLookingWithoutAFilter: {
        "test_looking_only_has_its_filter",
        "test_the_viewer_filter_stands_every_delivery",
    },
    SharesItsFilter: {
        "test_looking_only_has_its_filter",
        "test_the_viewer_filter_stands_every_delivery",
    },
    DropsWhatItDoesNotKnow: {"test_an_acting_viewers_bytes_pass_unchanged"},
    TakesAPieceForAMessage: {"test_the_viewer_filter_stands_every_delivery"},
    ShowsTheTicket: {"test_no_repr_holds_a_secret"},
    KeepsTextForASecret: {"test_no_repr_holds_a_secret"},
}
