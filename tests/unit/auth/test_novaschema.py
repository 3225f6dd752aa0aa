"""auth.novaschema: every key of the settings is described for the reference page."""

from __future__ import annotations

from consolekit.auth.novaschema import CONFIG_SCHEMA


def test_every_key_is_described() -> None:
    properties = CONFIG_SCHEMA["properties"]
    for rule in (*properties.values(), *properties["auth"]["properties"].values()):
        assert rule["description"]
