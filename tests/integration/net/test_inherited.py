"""Sockets that somebody else has made, given to a real process as systemd gives them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest

from consolekit.net.inherited import take_inherited

NAMES = ("proxy", "api")
CHILD = """
import os, sys
from consolekit.core.errors import ListenFailed
from consolekit.net.inherited import take_inherited
try:
    found = take_inherited(os.environ, ("proxy", "api"))
except ListenFailed as exc:
    sys.exit(str(exc))
assert not {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} & set(os.environ)
for name, sockets in found.items():
    for sock in sockets:
        assert not sock.get_inheritable() and not sock.getblocking()
        print(name, sock.getsockname()[1], flush=True)
"""


def given(*descriptors: int, names: str | None = None, pid: str | None = None) -> tuple[str, str]:
    """What a process finds that is started with these as its descriptors 3, 4 ...; output and error."""
    environment = {**os.environ, "LISTEN_FDS": f"{len(descriptors)}"}
    environment |= {} if names is None else {"LISTEN_FDNAMES": names}
    environment |= {} if pid is None else {"LISTEN_PID": pid}
    # descriptors are moved out of each other's way first: they may be 3 or 4 themselves
    script = textwrap.dedent(f"""
        import os, sys
        kept = [os.dup(fd) for fd in {[*descriptors]}]
        high = [os.dup2(fd, 50 + place) for place, fd in enumerate(kept)]
        for place, fd in enumerate(high):
            os.dup2(fd, 3 + place)
        os.execv(sys.executable, [sys.executable, "-c", {CHILD!r}])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, pass_fds=descriptors, capture_output=True, text=True
    )
    return done.stdout, done.stderr


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        yield one, two


def test_each_has_its_name(listening):
    one, two = listening
    out, error = given(one.fileno(), two.fileno(), names="api:proxy")
    assert error == ""
    assert out.split() == ["api", f"{one.getsockname()[1]}", "proxy", f"{two.getsockname()[1]}"]


def test_two_may_have_the_same(listening):
    one, two = listening
    out, _ = given(one.fileno(), two.fileno(), names="proxy:proxy")
    assert [line.split()[0] for line in out.splitlines()] == ["proxy", "proxy"]


def test_what_is_for_another_process_is_left_alone(listening):
    assert given(listening[0].fileno(), names="proxy", pid="1") == ("", "")


@pytest.mark.parametrize(
    ("names", "told"), [(None, "as nothing"), ("consolekit.socket", "as consolekit.socket")]
)
def test_one_without_a_name_of_ours_is_refused(listening, names, told):
    _, error = given(listening[0].fileno(), names=names)
    assert told in error
    assert "FileDescriptorName=" in error


def test_what_does_not_listen_is_refused():
    with socket.socket() as sock:
        assert "does not listen for connections" in given(sock.fileno(), names="proxy")[1]


def test_what_is_no_socket_is_refused(tmp_path):
    with (tmp_path / "file").open("w") as file:
        assert "is no socket" in given(file.fileno(), names="proxy")[1]


def test_usually_there_are_none():
    assert take_inherited({}, NAMES) == {}
    assert take_inherited({"LISTEN_FDS": "many"}, NAMES) == {}
