"""API: its OpenAPI description, with this site's pairs in it. Knows no server and no tornado.

``openapi.yaml`` is written by hand. ``openapi.json`` is the same document, so that no YAML reader is needed
at run time; a test holds the two together. What the console request looks like depends on the providers
of a site, so these two schemas are composed when somebody asks.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from consolekit.core.schema import ConsoleSchema

_SECURITY = re.compile(r"^( *)security:\n(?:\1  - .*\n)+", re.MULTILINE)


class Description:
    """The description of one site's API.

    Args:
        schema: The kit's schema.
        anonymous: Whether nobody is asked for a key.
    """

    def __init__(self, schema: ConsoleSchema, *, anonymous: bool = False) -> None:
        self._schema = schema
        self._anonymous = anonymous
        here = files("consolekit.api")
        self._yaml = here.joinpath("openapi.yaml").read_text("utf-8")
        self._json = here.joinpath("openapi.json").read_text("utf-8")

    def _composed(self) -> dict[str, dict[str, Any]]:
        """The schemas of ``components.schemas`` that depend on the registered pairs."""
        schemas = {
            "ConsoleRequest": self._schema.document("#/components/schemas/ConsoleRequest"),
            "NovaRemoteConsoleRequest": self._schema.nova_document(),
        }
        outer = ("$schema", "$id")  # here they are part of a document that has its own
        return {
            name: {key: value for key, value in schema.items() if key not in outer}
            for name, schema in schemas.items()
        }

    def as_json(self) -> str:
        """The description as JSON."""
        document: dict[str, Any] = json.loads(self._json)
        document["components"]["schemas"].update(self._composed())
        if self._anonymous:
            operations = [one for item in document["paths"].values() for one in item.values()]
            for part in (document, *(one for one in operations if "security" in one)):
                part["security"] = []
        return json.dumps(document, indent=2)

    def as_yaml(self) -> str:
        """The description as YAML, comments and all."""
        text = self._yaml
        for name, schema in self._composed().items():
            written = f"    {name}: {json.dumps(schema)}\n"  # JSON is YAML
            block = re.compile(rf"^    {name}:\n(?:      .*\n|\n)+", re.MULTILINE)
            text = block.sub(lambda _, written=written: written, text)  # type: ignore[misc]  # bound now
        return _SECURITY.sub(r"\1security: []\n", text) if self._anonymous else text
