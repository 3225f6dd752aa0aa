"""cli.settings: config init, check and show, as an operator meets them."""

from __future__ import annotations

import hashlib
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from consolekit.cli import settings
from consolekit.config.layers import DEFAULT_FILE

Call = Callable[..., Result]


def test_init_writes_a_file_that_check_accepts(run: Call, tmp_path: Path) -> None:
    place = tmp_path / "new" / "c.toml"
    result = run("config", "init", str(place))
    assert result.exit_code == 0, result.stderr
    key = result.stdout.strip()
    assert key.startswith("cka_")
    text = place.read_text()
    assert key not in text
    assert tomllib.loads(text)["api"]["keys"]["portal"]["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert f"consolekit serve --config {place}" in result.stderr
    checked = run("config", "check", str(place))
    assert checked.exit_code == 0, checked.stderr
    assert checked.stdout == f"{place} is right: 1 provider, store sqlite, API keys: portal\n"


def test_init_overwrites_nothing(run: Call, tmp_path: Path) -> None:
    place = tmp_path / "c.toml"
    place.write_text("mine")
    result = run("config", "init", str(place))
    assert result.exit_code == 1
    assert result.stderr == f"error: {place} is there already; give another PATH, or move it away\n"
    assert place.read_text() == "mine"


def test_init_into_a_directory(run: Call, tmp_path: Path) -> None:
    assert run("config", "init", str(tmp_path)).exit_code == 0
    assert (tmp_path / "consolekit.toml").is_file()


@pytest.mark.parametrize(("user", "name"), [(0, "etc/c.toml"), (1000, "consolekit.toml")])
def test_where_init_writes(
    run: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, name: str
) -> None:
    assert Path("/etc/consolekit/consolekit.toml") == DEFAULT_FILE
    monkeypatch.setattr(settings, "DEFAULT_FILE", tmp_path / "etc" / "c.toml")
    monkeypatch.setattr(settings.os, "geteuid", lambda: user)
    monkeypatch.chdir(tmp_path)
    result = run("config", "init")
    assert result.exit_code == 0
    assert (tmp_path / name).is_file()
    assert ("--config" in result.stderr) == (user != 0)


def test_check_tells_every_mistake_at_once(run: Call, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[proxy]\ncert = "none.pem"\n[tokens]\nstore = "nope"\n[providers.a]\nuse = "nope"\n'
        '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\n'
        'address = "s3cret"\npassword = "s3cret"\n'
    )
    result = run("config", "check", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == "error: the configuration is wrong:"
    for said in (
        "api.keys: is empty",
        "providers.a.use: 'nope': no installed",
        "providers.lab.servers.web-1",
        "tokens.store: 'nope'",
        f"proxy.cert: cannot be read: No such file or directory: {tmp_path}",
    ):
        assert f"\n  {said}" in result.stderr
    assert "s3cret" not in result.stderr


def test_check_tells_every_mistake_of_form_at_once(run: Call, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[proxy]\nlisten = 1\nlistn = 2\n[log]\nlevel = 'loud'\n")
    result = run("config", "check", str(file), env={"CONSOLEKIT_TOKENS__SECONDS": "0"})
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 5


def test_check_names_line_and_column(run: Call, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[proxy]\nlisten = oops\n")
    assert f"{file}:2:10: is not TOML: invalid value" in run("config", "check", str(file)).stderr


def test_check_of_a_file_that_is_not_there(run: Call, tmp_path: Path) -> None:
    result = run("config", "check", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert "none.toml: cannot be read: No such file or directory" in result.stderr


def test_check_opens_no_store(run: Call, file: Path) -> None:
    assert run("config", "check", str(file)).exit_code == 0
    assert not (file.parent / "tokens.db").exists()


def test_check_by_variable_by_flag_and_without_a_file(run: Call, file: Path) -> None:
    assert run("config", "check", env={"CONSOLEKIT_CONFIG": str(file)}).exit_code == 0
    assert run("config", "check", "-c", str(file)).exit_code == 0
    assert "providers: is empty" in run("config", "check").stderr


def test_check_for_a_role(run: Call, file: Path) -> None:
    env = {"CONSOLEKIT_TOKENS__STORE": "memory"}
    file.write_text(file.read_text().replace('path = "tokens.db"', ""))
    assert run("config", "check", str(file), env=env).exit_code == 0
    result = run("config", "check", str(file), "--for", "proxy", env=env)
    assert result.exit_code == 2
    assert 'tokens.store: is "memory", which no other process sees' in result.stderr


def test_check_warns_of_secrets_that_everybody_can_read(run: Call, file: Path) -> None:
    assert "warning" not in run("config", "check", str(file)).stderr
    file.chmod(0o640)
    assert "warning" not in run("config", "check", str(file)).stderr, "a group is somebody's decision"
    file.chmod(0o644)
    result = run("config", "check", str(file))
    assert result.exit_code == 0
    assert "holds secrets and everybody may read it: chmod o-r" in result.stderr


def test_check_warns_of_a_private_key_that_everybody_can_read(
    run: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "certificate_problems", lambda config: [])
    monkeypatch.setattr(settings, "expiry_problems", lambda config, now: ([], []))
    key = file.parent / "key.pem"
    key.touch(0o644)
    env = {"CONSOLEKIT_API__CERT": str(key), "CONSOLEKIT_API__KEY": str(key)}
    result = run("config", "check", str(file), env=env)
    assert f"warning: api.key: everybody may read it: chmod o-r {key}" in result.stderr
    key.chmod(0o640)
    assert "warning" not in run("config", "check", str(file), env=env).stderr


def test_check_warns_of_a_missing_viewer(run: Call, file: Path, tmp_path: Path) -> None:
    result = run("config", "check", str(file), env={"CONSOLEKIT_PROXY__WEB_ROOT": str(tmp_path)})
    assert result.exit_code == 0
    assert "warning: proxy.web_root: noVNC is missing" in result.stderr


def test_show_masks_secrets(run: Call, file: Path) -> None:
    result = run("config", "show", "-c", str(file))
    assert result.exit_code == 0
    assert "s3cret" not in result.stdout
    data = tomllib.loads(result.stdout)
    assert data["providers"]["lab"]["servers"]["web-1"]["password"] == "***"
    assert data["tokens"]["seconds"] == 60
    assert "#" not in result.stdout


def test_show_says_whence(run: Call, file: Path) -> None:
    env = {"CONSOLEKIT_TOKENS__SECONDS": "90"}
    lines = run("config", "show", "--origin", "-c", str(file), env=env).stdout.splitlines()
    assert "seconds = 90  # env CONSOLEKIT_TOKENS__SECONDS" in lines
    assert f'use = "vnc"  # file {file}' in lines
    assert 'level = "info"  # default' in lines


def test_plug_ins_tables_are_judged_together_with_broken_sections(run: Call, tmp_path: Path) -> None:
    place = tmp_path / "c.toml"
    place.write_text(
        '[proxy]\nlisten = "x"\n[tokens]\nseconds = 6000\n'
        '[providers.lab]\nuse = "vnc"\n[providers.lab.servers.web-1]\naddress = 5\n'
        '[providers.other]\nuse = "nowhere"\n'
    )
    result = run("config", "check", str(place))
    assert result.exit_code == 2
    wrong = ("proxy.listen", "tokens.seconds", "providers.lab.servers.web-1.address", "providers.other.use")
    for path in wrong:
        assert path in result.stderr
