"""What an operator writes about Redis, and what he is told when it is wrong."""

import pytest
import trustme

from consolekit.auth.redissettings import CONFIG_SCHEMA, settings_from_config
from consolekit.core.errors import ConfigError

CANARY = "canary-5f1c"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache", "redis://cache:6379/0"),
        ("redis://[2001:db8::1]:7000/3", "redis://[2001:db8::1]:7000/3"),
        ("rediss://cache:6380", "rediss://cache:6380/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
    ],
)
def test_a_url_says_where_it_is(url, shown):
    assert str(settings_from_config({"url": url})) == shown


def test_its_parts_are_read():
    settings = settings_from_config({"url": "unix:///run/a%20b?db=2", "prefix": "site"})
    assert (settings.path, settings.db, settings.prefix, settings.tls) == ("/run/a b", 2, "site", False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"http://{CANARY}", "must begin with redis://"),
        (f"redis://user:{CANARY}@cache", "must hold no password"),
        (f"redis://:{CANARY}@cache", "must hold no password"),
        (f"redis://cache:{CANARY}", "host or port is malformed"),
        (f"redis://cache/{CANARY}", "database's number"),
        (f"redis://cache/0?password={CANARY}", "must end with the database's number"),
        (f"redis://cache/0#{CANARY}", "must end with the database's number"),
        ("redis://", "names no host"),
        (f"unix://{CANARY}/run/redis.sock", "must be unix:///PATH"),
        (f"unix:///run/redis.sock?x={CANARY}", "must be unix:///PATH"),
    ],
)
def test_a_wrong_url_is_told_and_not_quoted(url, told):
    with pytest.raises(ConfigError) as caught:
        settings_from_config({"url": url})
    (problem,) = caught.value.problems
    assert problem.path == "url"
    assert told in problem.message
    assert CANARY not in str(caught.value)


def test_the_password_is_in_a_file_and_read_each_time(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n")
    settings = settings_from_config({"url": "redis://ann@cache", "password_file": str(file)})
    assert (settings.username, settings.password()) == ("ann", CANARY)
    file.write_text("changed")
    assert settings.password() == "changed"
    assert CANARY not in f"{settings} {settings!r}"


def problem_of(table):
    with pytest.raises(ConfigError) as caught:
        settings_from_config(table)
    (problem,) = caught.value.problems
    return problem.path, problem.message


def test_files_are_looked_at_once_at_the_start(tmp_path):
    empty, binary, missing = tmp_path / "empty", tmp_path / "binary", tmp_path / "missing"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")
    plain, tls = {"url": "redis://cache"}, {"url": "rediss://cache"}
    wrong = [
        (plain | {"password_file": str(missing)}, "password_file", "No such file"),
        (plain | {"password_file": str(empty)}, "password_file", "is empty"),
        (plain | {"password_file": str(binary)}, "password_file", "no UTF-8"),
        (tls | {"ca_file": str(missing)}, "ca_file", "No such file"),
        (tls | {"ca_file": str(empty)}, "ca_file", "no usable PEM"),
        (tls | {"cert_file": str(binary)}, "cert_file", "no usable PEM"),
        (tls | {"key_file": str(empty)}, "key_file", "cert_file, which is missing"),
        (plain | {"ca_file": str(empty)}, "ca_file", "write rediss://"),
        ({"url": "redis://ann@cache"}, "password_file", "the url names a user"),
    ]
    for table, path, told in wrong:
        place, message = problem_of(table)
        assert (place, told in message) == (path, True), message


def test_certificates_that_can_be_used_are_taken(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("us").private_key_and_cert_chain_pem.write_to_path(tmp_path / "us.pem")
    table = {
        "url": "rediss://cache",
        "ca_file": str(tmp_path / "ca.pem"),
        "cert_file": str(tmp_path / "us.pem"),
    }
    assert settings_from_config(table).cert_file == tmp_path / "us.pem"


def test_every_key_of_the_table_is_described():
    properties = CONFIG_SCHEMA["properties"]
    assert all(each["description"] for each in properties.values())
    paths = {name for name, each in properties.items() if each.get("format") == "path"}
    assert paths == {"password_file", "ca_file", "cert_file", "key_file"}
