"""cli.wanted: the arguments of a console as data."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from consolekit.cli.wanted import wanted_console


@click.command()
@click.option("--more")
@wanted_console
def show(server: str, data: Mapping[str, str | int], more: str | None) -> None:
    click.echo(json.dumps([server, data, more]))


@pytest.mark.parametrize(
    ("args", "data"),
    [
        ([], {"protocol": "vnc", "type": "novnc", "mode": "interact"}),
        (
            ["--protocol", "mks", "--type", "webmks", "--view", "--subject", "ann", "--ttl", "600"],
            {"protocol": "mks", "type": "webmks", "mode": "view", "subject": "ann", "ttl_seconds": 600},
        ),
        (["--subject", ""], {"protocol": "vnc", "type": "novnc", "mode": "interact", "subject": ""}),
    ],
    ids=["defaults", "all", "empty"],
)
def test_data(args: list[str], data: dict[str, object]) -> None:
    result = CliRunner().invoke(show, ["web-1", *args, "--more", "x"])
    assert json.loads(result.stdout) == ["web-1", data, "x"]


@pytest.mark.parametrize("args", [["web-1", "--ttl", "601"], ["web-1", "--ttl", "0"], []])
def test_what_is_no_wish(args: list[str]) -> None:
    assert CliRunner().invoke(show, args).exit_code == 2
