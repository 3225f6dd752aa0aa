"""cli.options: flags over environment over file, documented from the model."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from consolekit.cli.options import config_option, json_option, log_options, setting_option
from consolekit.config.load import Loaded


@click.command()
@config_option
@setting_option("--listen", "proxy.listen", "ADDRESS")
@setting_option("--api-listen", "api.listen", "ADDRESS")
@log_options
@json_option
def shown(loaded: Loaded, as_json: bool) -> None:
    config = loaded.config
    click.echo(f"{config.proxy.listen} {config.api.listen} {config.log.level} {config.log.format} {as_json}")
    click.echo(str(loaded.origin(("api", "listen"))))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text('[proxy]\nlisten = "127.0.0.1:1"\n[log]\nlevel = "error"\n')
    return path


def call(*args: str, **env: str) -> Result:
    return CliRunner().invoke(shown, args, env=env)


def test_layers(file: Path) -> None:
    env = {"CONSOLEKIT_PROXY__LISTEN": "127.0.0.1:2"}
    name = str(file)
    assert call("--config", name).output.startswith("127.0.0.1:1 127.0.0.1:6081 error text False\n")
    assert call("-c", name, **env).output.startswith("127.0.0.1:2 ")
    assert call("-c", name, "--listen", "127.0.0.1:3", **env).output.startswith("127.0.0.1:3 ")
    assert call(CONSOLEKIT_CONFIG=name).output.startswith("127.0.0.1:1 ")


def test_two_flags_and_their_names(file: Path) -> None:
    result = call(
        "-c", str(file), "--listen", ":0", "--api-listen", "[::1]:5", CONSOLEKIT_PROXY__BASE_URL="http://a"
    )
    assert result.output == "0.0.0.0:0 [::1]:5 error text False\nflag --api-listen\n"


def test_verbose_is_a_level_and_a_level_wins(file: Path) -> None:
    assert " debug " in call("-c", str(file), "-v").output
    assert " warning " in call("-c", str(file), "-v", "--log-level", "warning").output
    assert " json " in call("-c", str(file), "--log-format", "json").output


def test_a_number_is_a_number(file: Path) -> None:
    @click.command()
    @config_option
    @setting_option("--workers", "proxy.workers", "N")
    def counted(loaded: Loaded) -> None:
        click.echo(f"{loaded.config.proxy.workers}")

    runner = CliRunner()
    assert runner.invoke(counted, ["-c", str(file), "--workers", "3"]).output == "3\n"
    assert "'x' is not a valid integer" in runner.invoke(counted, ["-c", str(file), "--workers", "x"]).output


def test_json_flag(file: Path) -> None:
    assert " True\n" in call("-c", str(file), "--json").output


def test_help_says_default_and_variable() -> None:
    text = " ".join(call("--help").output.split())
    assert "[env: CONSOLEKIT_PROXY__LISTEN; default: 127.0.0.1:6080]" in text
    assert "[env: CONSOLEKIT_LOG__LEVEL; default: info]" in text
    assert "[env: CONSOLEKIT_CONFIG; default: /etc/consolekit/consolekit.toml, if it is there]" in text
    assert "`" not in text


def test_a_word_that_is_none_of_the_choices() -> None:
    assert "'loud' is not one of" in call("--log-level", "loud").output
