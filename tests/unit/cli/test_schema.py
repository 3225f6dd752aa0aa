"""cli.schema: exactly what is configured, as JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from consolekit.core.schema import validator_of

Call = Callable[..., Result]


def test_the_schema_is_one(run: Call, file: Path) -> None:
    document = json.loads(run("schema", "-c", str(file)).stdout)
    validator = validator_of(document)
    assert validator.is_valid({"protocol": "vnc", "type": "novnc"})
    assert not validator.is_valid({"protocol": "vnc", "type": "webmks"})


def test_novas_view(run: Call, file: Path) -> None:
    validator = validator_of(json.loads(run("schema", "--nova", "-c", str(file)).stdout))
    assert validator.is_valid({"remote_console": {"protocol": "vnc", "type": "novnc"}})


def test_without_providers_there_is_nothing_to_ask_for(run: Call) -> None:
    result = run("schema")
    assert result.exit_code == 2
    assert "providers: is empty, so nothing can be asked for" in result.stderr


def test_a_provider_that_is_broken(run: Call, file: Path) -> None:
    file.write_text(file.read_text() + '[providers.x]\nuse = "nope"\n')
    result = run("schema", "-c", str(file))
    assert result.exit_code == 2
    assert "providers.x.use" in result.stderr
