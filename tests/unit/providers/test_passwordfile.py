"""A password file: what counts as the password, and what is said of a bad one."""

import pytest

from consolekit.core.errors import ConsoleUnavailable
from consolekit.providers.passwordfile import read_password


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_one_line_end_is_not_part_of_the_password(tmp_path, content):
    file = tmp_path / "password"
    file.write_bytes(content.encode())
    assert read_password(file).reveal() == "s3cret"


def test_spaces_and_further_lines_are(tmp_path):
    file = tmp_path / "password"
    file.write_text(" a b\n\n")
    assert read_password(file).reveal() == " a b\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"s3cret" * 1000, "over 4096 bytes")],
)
def test_a_bad_file_is_named_and_never_quoted(tmp_path, content, why):
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(ConsoleUnavailable, match=why) as refusal:
        read_password(file)
    assert str(file) in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConsoleUnavailable, match=r"nowhere.*No such file"):
        read_password(tmp_path / "nowhere")
