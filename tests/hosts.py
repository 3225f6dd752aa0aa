"""Test support: two hosts on one machine, for processes that must not share a network stack.

Importable as ``hosts``. Where we are root they are network namespaces on a bridge, so that each has an
address, a loopback and ports of its own; elsewhere they are two addresses of loopback. The bridge is in a
namespace too, which the calling thread is in meanwhile: browsers of tests that run beside would give up
what they are loading whenever an interface of theirs comes or goes (Chromium's ERR_NETWORK_CHANGED).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs

_CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen(kw_only=True)
class Host:
    """One of them.

    Attributes:
        name: One letter.
        address: Where others reach it.
        prefix: What to put before a command that shall run there.
    """

    name: str
    address: str
    prefix: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Network:
    """Both, and the machine that they share.

    Attributes:
        kind: What they are, for whoever reads the figures.
        shared: The address at which both reach us, and what else runs beside us.
        hosts: The two.
    """

    kind: str
    shared: str
    hosts: tuple[Host, Host]

    @property
    def subnet(self) -> str:
        """All of it, as a firewall writes it."""
        return f"{self.shared.rpartition('.')[0]}.0/24"


LOOPBACK = Network(
    kind="two addresses of loopback",
    shared="127.0.0.1",
    hosts=(Host(name="a", address="127.0.0.2"), Host(name="b", address="127.0.0.3")),
)


@contextlib.contextmanager
def two_hosts() -> Iterator[Network]:
    """Two hosts, for a while."""
    with ExitStack() as stack:
        yield _namespaces(stack) or LOOPBACK


def _namespaces(stack: ExitStack) -> Network | None:
    """None where they cannot be had; nothing is left of those that were begun."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return None
    mark = os.getpid()
    # RFC 2544's network for tests, so that no real one is hidden; processes beside us get another part of it
    subnet, bridge = f"198.{18 + mark // 256 % 2}.{mark % 256}", f"ckbr{mark}"
    with ExitStack() as ours:
        try:
            ours.enter_context(own_network())
            _ip("link", "add", bridge, "type", "bridge")
            ours.callback(_ip, "link", "del", bridge)
            _ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            hosts = [_namespace(ours, name, bridge, f"{subnet}.{at}") for at, name in enumerate("ab", 2)]
        except (subprocess.CalledProcessError, OSError):
            return None
        stack.push(ours.pop_all())
    return Network(kind="two network namespaces", shared=f"{subnet}.1", hosts=(hosts[0], hosts[1]))


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Put this thread, and what it starts, into a network namespace of its own; then back."""
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        _checked(_libc.unshare(_CLONE_NEWNET))
        try:
            _ip("link", "set", "lo", "up")
            yield
        finally:
            _checked(_libc.setns(before.fileno(), _CLONE_NEWNET))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _namespace(stack: ExitStack, name: str, bridge: str, address: str) -> Host:
    space = f"{bridge}-{name}"
    _ip("netns", "add", space)
    stack.callback(_ip, "netns", "del", space)
    outside = f"{bridge}{name}"
    _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", outside, "master", bridge, "up")
    for words in ("link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up"):
        _ip("-n", space, *words.split())
    return Host(name=name, address=address, prefix=("ip", "netns", "exec", space))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
