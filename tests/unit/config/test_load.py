"""config.load: file < environment < flags, and every problem with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from consolekit.config.load import Loaded, load
from consolekit.core.address import Address
from consolekit.core.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text('[tokens]\nseconds = 90\n[proxy]\nlisten = "127.0.0.1:1"\ncert = "tls/cert.pem"\n')
    return path


def failure(file: Path | None, env: dict[str, str], **flags: tuple[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, env=env, flags={f"--{flag}": given for flag, given in flags.items()})
    return [str(problem) for problem in caught.value.problems]


def test_flags_win_over_environment_wins_over_file(file: Path) -> None:
    env = {"CONSOLEKIT_TOKENS__SECONDS": "91", "CONSOLEKIT_PROXY__LISTEN": "127.0.0.1:2"}
    flags = {"--listen": ("proxy.listen", "127.0.0.1:3"), "--base-url": ("proxy.base_url", None)}
    loaded = load(file, env=env, flags=flags)
    assert loaded.config.tokens.seconds == 91
    assert loaded.config.proxy.listen == Address("127.0.0.1", 3)
    assert str(loaded.origin(("proxy", "listen"))) == "flag --listen"
    assert str(loaded.origin(("tokens", "seconds"))) == "env CONSOLEKIT_TOKENS__SECONDS"
    assert str(loaded.origin(("proxy", "cert"))) == f"file {file}"
    assert str(loaded.origin(("proxy", "base_url"))) == "default"
    assert loaded.file == file


def test_the_environment_names_the_file(file: Path) -> None:
    assert load(env={"CONSOLEKIT_CONFIG": str(file)}).config.tokens.seconds == 90


def test_paths_of_the_file_start_at_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load(file, env={}).config.proxy.cert == file.parent / "tls" / "cert.pem"


def test_paths_of_variables_and_flags_start_where_we_are(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = file.parent / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    loaded = load(file, env={"CONSOLEKIT_PROXY__KEY": "k.pem"}, flags={"--cert": ("proxy.cert", "c.pem")})
    assert loaded.config.proxy.key == place / "k.pem"
    assert loaded.config.proxy.cert == place / "c.pem"


def test_home_and_absolute_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    env = {"CONSOLEKIT_PROXY__CERT": "~/c.pem", "CONSOLEKIT_PROXY__KEY": "/k.pem"}
    proxy = load(file, env=env).config.proxy
    assert (proxy.cert, proxy.key) == (Path("/home/x/c.pem"), Path("/k.pem"))


def test_the_home_of_nobody(file: Path) -> None:
    file.write_text("[proxy]\ncert = '~nobody-of-this-name/c.pem'\n")
    assert failure(file, {"CONSOLEKIT_PROXY__KEY": "~nobody-of-this-name/k.pem"}) == [
        "proxy.cert: begins with the home directory of somebody who is not known here",
        "proxy.key: begins with the home directory of somebody who is not known here "
        "(set by environment CONSOLEKIT_PROXY__KEY)",
    ]


def test_every_problem_of_every_layer_at_once(file: Path) -> None:
    file.write_text("[proxy]\nlisten = 5\n")
    env = {"CONSOLEKIT_TOKENS__SECONDS": "0", "CONSOLEKIT_LOG_LEVEL": "debug"}
    assert failure(file, env, level=("log.level", "loud")) == [
        "environment CONSOLEKIT_LOG_LEVEL: is not read; write CONSOLEKIT_LOG__LEVEL, with two underscores",
        "log.level: must be one of debug, info, warning, error (set by flag --level)",
        "proxy.listen: must be text, not a whole number",
        "tokens.seconds: must be from 1 to 600 (set by environment CONSOLEKIT_TOKENS__SECONDS)",
    ]


def test_contradictions_are_problems() -> None:
    assert failure(None, {"CONSOLEKIT_PROXY__LISTEN": ":6080"})[0].startswith("proxy.base_url: is needed")


def test_without_a_file() -> None:
    loaded = load(env={"CONSOLEKIT_CONFIG": ""})
    assert loaded.file is None or loaded.file.is_absolute()


def test_a_configuration_made_in_code_has_only_defaults() -> None:
    assert str(Loaded(config=load(env={}).config).origin(("log", "level"))) == "default"
