from __future__ import annotations

import json
from importlib.resources import files

import yaml
from consolesite import Rack, Wires, registry_of
from write_openapi_json import written

from consolekit.api.description import Description
from consolekit.core.schema import ConsoleSchema


def test_the_json_is_the_yaml() -> None:
    found = files("consolekit.api").joinpath("openapi.json").read_text("utf-8")
    assert found == written(), "run: python tests/write_openapi_json.py"


def test_both_forms_are_one_document_with_the_site_s_pairs() -> None:
    schema = ConsoleSchema(registry_of(rack=Rack(), wires=Wires()))
    description = Description(schema)
    document = json.loads(description.as_json())
    assert yaml.safe_load(description.as_yaml()) == document
    schemas = document["components"]["schemas"]
    own = schema.document("#/components/schemas/ConsoleRequest")
    del own["$schema"], own["$id"]
    assert schemas["ConsoleRequest"] == own
    assert [pair["title"] for pair in own["oneOf"]] == ["serial/serial", "vnc/novnc"]
    label = own["oneOf"][0]["properties"]["params"]["properties"]["label"]["$ref"]
    assert label == "#/components/schemas/ConsoleRequest/oneOf/0/properties/params/$defs/label"
    nova = schemas["NovaRemoteConsoleRequest"]["properties"]["remote_console"]
    assert nova["properties"]["protocol"]["enum"] == ["serial", "vnc"]


def test_by_hand_stands_what_a_site_with_vnc_alone_composes() -> None:
    by_hand = json.loads(written())
    composed = json.loads(Description(ConsoleSchema(registry_of(rack=Rack()))).as_json())
    assert composed == by_hand


def test_a_provider_that_is_added_later_is_described() -> None:
    registry = registry_of(rack=Rack())
    description = Description(ConsoleSchema(registry))
    registry.add("wires", Wires())
    assert "serial/serial" in description.as_yaml()
    assert "serial/serial" in description.as_json()


def test_where_no_key_is_asked_for_none_is_described() -> None:
    description = Description(ConsoleSchema(registry_of(rack=Rack())), anonymous=True)
    document = json.loads(description.as_json())
    assert yaml.safe_load(description.as_yaml()) == document
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert [part["security"] for part in (document, *operations) if part.get("security")] == []
    assert document["security"] == []
