"""How a configuration names the database of the ``sql`` store: every refusal at its key, no value quoted."""

import ssl

import pytest
import trustme

from consolekit.auth import sqlurl
from consolekit.auth.sqlurl import CONFIG_SCHEMA, read_options
from consolekit.config.annotations import MASK, masked
from consolekit.core.errors import ConfigError
from consolekit.core.schema import problems_of, validator_of

CANARY = "c4n4ry"


def refusal(config):
    with pytest.raises(ConfigError) as caught:
        read_options(config)
    assert CANARY not in str(caught.value)
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("postgresql://u@h:1/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u@h:1/d", "postgresql+asyncpg"),
        ("mariadb://u@h/d", "mariadb+aiomysql"),
        ("mariadb+aiomysql://u@h/d", "mariadb+aiomysql"),
        ("sqlite:////var/lib/tokens.db", "sqlite+aiosqlite"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql+asyncpg"),
        ("mariadb://u@/d?unix_socket=/run/mysqld/mysqld.sock", "mariadb+aiomysql"),
    ],
)
def test_each_kind_gets_its_driver(written, driver):
    url, more = read_options({"url": written})
    assert (url.drivername, more) == (driver, {})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (f"{CANARY}", "is no database URL"),
        (f"postgresql://u:{CANARY}@h:port/d", "is no database URL"),
        (f"oracle://u:{CANARY}@h/d", "no database that is supported"),
        (f"mysql://u:{CANARY}@h/d", "no database that is supported"),
        (f"postgresql+psycopg://u:{CANARY}@h/d", r"write postgresql+asyncpg://"),
        (f"mariadb+asyncmy://u:{CANARY}@h/d", r"write mariadb+aiomysql://"),
        (f"postgresql://u:{CANARY}@h", "names no database"),
        (f"postgresql://u@h/d?password={CANARY}", "use password_file"),
        ("sqlite://", "absolute path"),
        ("sqlite:///:memory:", "absolute path"),
        ("sqlite:///relative.db", "absolute path"),
    ],
)
def test_what_is_none_of_ours_is_refused(written, words, tmp_path):
    ((path, message),) = refusal({"url": written})
    assert path == "url"
    assert words in message
    file = tmp_path / "url"
    file.write_text(written + "\n")
    ((path, _),) = refusal({"url_file": str(file)})
    assert path == "url_file"


@pytest.mark.parametrize("config", [{}, {"url": "postgresql://h/d", "url_file": "/x"}], ids=["none", "both"])
def test_exactly_one_place_names_the_database(config):
    assert refusal(config)[0][0] == "url"


def test_url_and_password_come_from_files(tmp_path):
    url, password = tmp_path / "url", tmp_path / "password"
    url.write_text("postgresql://u@h/d\n")
    password.write_text(f"{CANARY}/@: \n")
    found, _ = read_options({"url_file": str(url), "password_file": str(password)})
    assert (found.host, found.password) == ("h", f"{CANARY}/@: ")
    assert CANARY not in repr(found)


def test_files_that_cannot_be_read_are_named(tmp_path):
    empty, binary, gone = tmp_path / "empty", tmp_path / "binary", tmp_path / "gone"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    for file, words in ((empty, "is empty"), (binary, "is not UTF-8"), (gone, "No such file")):
        ((path, message),) = refusal({"url": "postgresql://u@h/d", "password_file": str(file)})
        assert path == "password_file"
        assert words in message


def test_two_passwords_are_one_too_many(tmp_path):
    (tmp_path / "password").write_text(CANARY)
    config = {"url": f"postgresql://u:{CANARY}@h/d", "password_file": str(tmp_path / "password")}
    assert refusal(config)[0][0] == "password_file"


def test_sqlite_has_neither_password_nor_certificate():
    config = {"url": "sqlite:////d", "password_file": "/x", "ca_file": "/y"}
    assert [path for path, _ in refusal(config)] == ["password_file", "ca_file"]


def test_a_ca_file_means_tls_with_verification(tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    _, more = read_options({"url": "mariadb://u@h/d", "ca_file": str(tmp_path / "ca.pem")})
    assert (more["ssl"].verify_mode, more["ssl"].check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_ca_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for name, words in (("ca.pem", "no certificate"), ("gone.pem", "No such file")):
        ((path, message),) = refusal({"url": "mariadb://u@h/d", "ca_file": str(tmp_path / name)})
        assert path == "ca_file"
        assert words in message


@pytest.mark.parametrize(("kind", "extra"), [("postgresql", "postgres"), ("mariadb", "mariadb")])
def test_a_missing_driver_is_told_with_its_extra(kind, extra, monkeypatch):
    monkeypatch.setattr(sqlurl.importlib.util, "find_spec", lambda name: None)
    assert f"pip install 'consolekit[{extra}]'" in refusal({"url": f"{kind}://u@h/d"})[0][1]


def test_a_url_is_never_shown():
    table = {"url": f"postgresql://u:pa/{CANARY}@h/d", "password_file": "/x"}
    assert masked(table, [CONFIG_SCHEMA]) == {"url": MASK, "password_file": "/x"}


def test_the_schema_takes_what_is_documented_and_nothing_else():
    validator = validator_of(CONFIG_SCHEMA)
    assert problems_of(validator, {"url_file": "u", "password_file": "p", "ca_file": "c"}) == []
    assert problems_of(validator, {"path": "x"})


@pytest.mark.parametrize(
    "url", ["sqlite://host/tmp/a.db", "sqlite:////tmp/a.db?mode=ro", "sqlite://", "sqlite:///a.db"]
)
def test_sqlite_is_an_absolute_path_and_nothing_else(url):
    ((place, why),) = refusal({"url": url})
    assert (place, "absolute path" in why) == ("url", True)
