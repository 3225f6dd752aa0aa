from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import jsonschema
import pytest
from consolesite import SERIAL, VNC, Rack, Wires, registry_of

from consolekit.core.errors import ConsoleNotImplemented, InvalidRequest, UnsupportedConsole
from consolekit.core.registry import ProviderRegistry
from consolekit.core.schema import ConsoleSchema, problems_of, validator_of
from consolekit.core.types import ConsoleKey

CANARY = "C4n4ry_V41ue"
SCHEMA = ConsoleSchema(registry_of(rack=Rack(), wires=Wires()))
GOOD = {"protocol": "vnc", "type": "novnc"}


def refused(data: object, server_id: object = "web-1", subject: str = "alice") -> dict[str, str]:
    """The problems by path."""
    with pytest.raises(InvalidRequest) as caught:
        SCHEMA.validate(server_id, data, subject=subject)
    assert CANARY not in str(caught.value)
    return {problem.path: problem.message for problem in caught.value.problems}


class TestValidate:
    def test_a_small_request(self) -> None:
        request = SCHEMA.validate("web-1", GOOD, subject="alice")
        assert (request.key, request.server_id, request.subject) == (VNC, "web-1", "alice")
        assert request.params == {}

    def test_a_full_request(self) -> None:
        data = {
            "protocol": "serial",
            "type": "serial",
            "subject": "Ünal Ö. <u@example.org>",
            "ttl_seconds": 600,
            "params": {"port": 3, "label": "boot"},
        }
        request = SCHEMA.validate("web-1", data, subject="alice")
        assert request.key == SERIAL
        assert request.subject == "Ünal Ö. <u@example.org>"
        assert request.params == {"port": 3, "label": "boot"}

    @pytest.mark.parametrize("data", [None, [], "vnc/novnc", 7, True, 1.5])
    def test_a_request_is_an_object(self, data: object) -> None:
        assert refused(data) == {"": "must be of type object"}

    def test_every_problem_is_told_once_and_at_once(self) -> None:
        assert refused({}, server_id="../etc") == {
            "protocol": "is required",
            "type": "is required",
            "server_id": "must match ^[A-Za-z0-9_][A-Za-z0-9._:@-]*$",
        }
        with pytest.raises(InvalidRequest) as caught:
            SCHEMA.validate("web-1", {}, subject="alice")
        assert len(caught.value.problems) == 2

    def test_unknown_keys_are_told_the_known_ones(self) -> None:
        problems = refused({**GOOD, "pasword": CANARY, "\x00": CANARY, "x" * 99: 1, "ckt_" + CANARY: 1})
        assert problems["pasword"].startswith("is not known here; known: mode, params, protocol, subject")
        assert problems["(a key that is not shown)"]
        assert len(problems) == 2

    @pytest.mark.parametrize("word", ["", "VNC", "v nc", "vnc\n", "-", "é", "a" * 65, CANARY])
    @pytest.mark.parametrize("place", ["protocol", "type"])
    def test_words_are_words(self, place: str, word: str) -> None:
        refused({**GOOD, place: word})

    @pytest.mark.parametrize("value", [None, 1, True, [], {}, 1.5, ["vnc"]])
    @pytest.mark.parametrize("place", ["protocol", "type", "subject"])
    def test_strings_are_strings(self, place: str, value: object) -> None:
        assert refused({**GOOD, place: value}) == {place: "must be of type string"}

    @pytest.mark.parametrize(
        "pair", [("vnc", "webmks"), ("mks", "novnc"), ("serial", "novnc"), ("vnc", "serial"), ("x", "y")]
    )
    def test_a_pair_that_is_not_registered_is_told_the_registered(self, pair: tuple[str, str]) -> None:
        data = {"protocol": pair[0], "type": pair[1]}
        with pytest.raises(UnsupportedConsole, match="valid pairs: serial/serial, vnc/novnc"):
            SCHEMA.validate("web-1", data, subject="alice")

    def test_xvpvnc_is_known_and_refused_with_its_reason(self) -> None:
        with pytest.raises(ConsoleNotImplemented, match="use vnc/novnc"):
            SCHEMA.validate("web-1", {"protocol": "vnc", "type": "xvpvnc"}, subject="alice")

    @pytest.mark.parametrize(
        "subject", ["", "a" * 129, "a\n", "a\x00", "a\x7f", "a\x85", "a\u2028b", "\ud800"]
    )
    def test_subjects_are_one_line_of_text(self, subject: str) -> None:
        assert set(refused({**GOOD, "subject": subject})) == {"subject"}
        assert set(refused(GOOD, subject=subject)) == {"subject"}

    def test_parameters_are_the_provider_s_own(self) -> None:
        serial = {"protocol": "serial", "type": "serial"}
        assert refused({**serial, "params": {"port": 4}}) == {"params.port": "must be at most 3"}
        assert refused({**serial, "params": {"label": CANARY}}) == {"params.label": "must match ^[a-z]+$"}
        assert refused({**GOOD, "params": {"port": 1}}) == {"params.port": "is not known here"}
        assert refused({**GOOD, "params": []}) == {"params": "must be of type object"}


class TestCase52:
    """Server ids and lifetimes that are none."""

    @pytest.mark.parametrize(
        "server_id",
        ["", "a" * 10240, "a" * 129, "../", "..", ".", "/", "a/b", "\x00", "a\x00", "a\n", "a b", "é", "٣",
         "a\r\nX: y", "-a", "\ud800", 7, None, True, 1.5, [], ["a"], {}, b"a"],
    )  # fmt: skip
    def test_case_52_server_ids(self, server_id: object) -> None:
        assert set(refused(GOOD, server_id=server_id)) == {"server_id"}
        with pytest.raises(InvalidRequest):
            SCHEMA.check_server_id(server_id)

    @pytest.mark.parametrize("server_id", ["a", "web-1", "A" * 128, "vm:42@dc.example", "_x", "0"])
    def test_case_52_good_ones_pass(self, server_id: str) -> None:
        assert SCHEMA.validate(server_id, GOOD, subject="alice").server_id == server_id
        assert SCHEMA.check_server_id(server_id) == server_id

    @pytest.mark.parametrize(
        "ttl", [-1, 0, 601, 10**9, 10**400, "60", 1.5, True, False, None, [], {}, float("inf"), float("nan")]
    )
    def test_case_52_lifetimes(self, ttl: object) -> None:
        assert set(refused({**GOOD, "ttl_seconds": ttl})) == {"ttl_seconds"}

    @pytest.mark.parametrize("ttl", [1, 60, 600])
    def test_case_52_good_lifetimes_pass(self, ttl: int) -> None:
        SCHEMA.validate("web-1", {**GOOD, "ttl_seconds": ttl}, subject="alice")


class TestProblems:
    def test_none_quotes_a_value(self) -> None:
        schema = {
            "type": "object",
            "properties": {
                "enum": {"enum": ["a", "b"]},
                "const": {"const": "a"},
                "pattern": {"pattern": "^a$"},
                "short": {"maxLength": 1},
                "long": {"minLength": 99},
                "low": {"minimum": 5},
                "few": {"minItems": 2},
                "many": {"type": "array", "maxItems": 1},
                "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "kinds": {"type": ["integer", "null"]},
                "deep": {"additionalProperties": {"type": "integer"}},
            },
            "required": ["absent"],
        }
        data = dict.fromkeys(["enum", "const", "pattern", "short", "long", "either", "kinds"], CANARY)
        odd = {**data, "low": 4, "few": [CANARY], "many": [CANARY, CANARY], "deep": {"a\nb": CANARY}}
        found = {problem.path: problem.message for problem in problems_of(validator_of(schema), odd, "top")}
        assert CANARY not in json.dumps(found)
        assert found == {
            "top.absent": "is required",
            "top.enum": "must be one of a, b",
            "top.const": "must be a",
            "top.pattern": "must match ^a$",
            "top.short": "must have at most 1 characters",
            "top.long": "must have at least 99 characters",
            "top.low": "must be at least 5",
            "top.few": "must have at least 2 entries",
            "top.many": "must have at most 1 entries",
            "top.either": "breaks the rule 'anyOf' of its schema",
            "top.kinds": "must be of type integer or null",
            "top.deep.(a key that is not shown)": "must be of type integer",
        }

    def test_a_small_wrong_request_has_no_large_answer(self) -> None:
        with pytest.raises(InvalidRequest) as caught:
            SCHEMA.validate("web-1", {**GOOD, **{f"k{n}": 1 for n in range(9000)}}, subject="alice")
        assert len(caught.value.problems) == 101
        assert caught.value.problems[-1].message == "and 8900 more problems"
        assert len(str(caught.value)) < 16 * 1024

    @pytest.mark.parametrize(
        ("pattern", "text", "fits"),
        [
            ("^a$", "a", True),
            ("^a$", "a\n", False),
            (r"^a\$$", "a$", True),
            ("^[$]$", "$", True),
            ("^[$]$", "$\n", False),
            (r"^[\]$]+$", "]$", True),
            (r"^\d$", "٣", False),
            (r"^\w$", "é", False),
            ("b", "abc", True),
        ],
    )
    def test_patterns_are_those_of_ecma(self, pattern: str, text: str, fits: bool) -> None:
        assert validator_of({"pattern": pattern}).is_valid(text) is fits

    def test_patterns_are_for_strings(self) -> None:
        assert validator_of({"pattern": "^a$"}).is_valid(7)

    def test_nothing_is_fetched(self) -> None:
        validator = validator_of({"$ref": "http://192.0.2.1/schema.json"})
        with pytest.raises(Exception, match="Unresolvable"):
            validator.is_valid({})

    @pytest.mark.parametrize("schema", [{"type": "objekt"}, {"required": "a"}, {"minimum": "1"}])
    def test_a_wrong_schema_is_told(self, schema: Mapping[str, Any]) -> None:
        with pytest.raises(ValueError, match="not a JSON Schema"):
            validator_of(schema)


class TestDocument:
    def test_is_json_schema_and_json(self) -> None:
        for document in (SCHEMA.document(), SCHEMA.nova_document()):
            jsonschema.Draft202012Validator.check_schema(document)
            assert json.loads(json.dumps(document)) == document

    def test_lists_exactly_the_registered_pairs(self) -> None:
        document = SCHEMA.document()
        assert [pair["title"] for pair in document["oneOf"]] == ["serial/serial", "vnc/novnc"]
        assert document["properties"]["protocol"] == {"enum": ["serial", "vnc"]}
        assert document["additionalProperties"] is False

    def test_parameters_with_references_of_their_own_keep_them(self) -> None:
        validator = validator_of(SCHEMA.document())
        serial = {"protocol": "serial", "type": "serial"}
        assert validator.is_valid({**serial, "params": {"label": "boot"}})
        assert not validator.is_valid({**serial, "params": {"label": "BOOT"}})
        assert not validator.is_valid({**GOOD, "params": {"label": "boot"}})

    def test_nova_s_view(self) -> None:
        validator = validator_of(SCHEMA.nova_document())
        assert validator.is_valid({"remote_console": GOOD})
        for wrong in (
            GOOD,
            {"remote_console": {**GOOD, "subject": "a"}},
            {"remote_console": GOOD, "more": 1},
            {"remote_console": {"protocol": "vnc", "type": "serial"}},
            {"remote_console": {"protocol": "vnc"}},
            {"remote_console": None},
        ):
            assert not validator.is_valid(wrong)

    def test_with_no_provider_nothing_fits(self) -> None:
        schema = ConsoleSchema(ProviderRegistry())
        for document in (schema.document(), schema.nova_document()):
            jsonschema.Draft202012Validator.check_schema(document)
            assert not validator_of(document).is_valid(GOOD)
        with pytest.raises(UnsupportedConsole, match="valid pairs: none"):
            schema.validate("web-1", GOOD, subject="alice")


class Keyed(Rack):
    """Another provider of the same pair, with a parameter that must be there."""

    params_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"zone": {"type": "string"}},
        "required": ["zone"],
        "additionalProperties": False,
    }


class TestSeveralProviders:
    def test_of_one_pair_any_may_accept_the_parameters(self) -> None:
        schema = ConsoleSchema(registry_of(rack=Rack(), keyed=Keyed()))
        document = validator_of(schema.document())
        for params, fits in (({}, True), ({"zone": "a"}, True), ({"zone": 1}, False), ({"x": 1}, False)):
            data = {**GOOD, "params": params}
            assert document.is_valid(data) is fits
            if fits:
                assert schema.validate("a", data, subject="b").params == params
            else:
                with pytest.raises(InvalidRequest):
                    schema.validate("a", data, subject="b")

    def test_parameters_that_must_be_there_make_params_required(self) -> None:
        schema = ConsoleSchema(registry_of(keyed=Keyed()))
        assert not validator_of(schema.document()).is_valid(GOOD)
        with pytest.raises(InvalidRequest, match=r"params\.zone: is required"):
            schema.validate("a", GOOD, subject="b")

    def test_one_that_is_added_later_takes_part(self) -> None:
        registry = registry_of(rack=Rack())
        schema = ConsoleSchema(registry)
        registry.add("wires", Wires())
        data = {"protocol": "serial", "type": "serial", "params": {"port": 1}}
        assert schema.validate("a", data, subject="b").key == ConsoleKey("serial", "serial")
        assert validator_of(schema.document()).is_valid(data)

    def test_a_wrong_params_schema_is_told_when_composing(self) -> None:
        class Wrong(Rack):
            params_schema: ClassVar[Mapping[str, Any]] = {"type": "objekt"}

        with pytest.raises(ValueError, match="not a JSON Schema"):
            ConsoleSchema(registry_of(wrong=Wrong()))
