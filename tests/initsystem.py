"""Test support: a systemd of its own, with the units of ``deploy/`` as an operator has them.

Importable as ``initsystem``. It is process 1 of namespaces of its own, with its own file system, network and
control group: it sees nothing of the machine's services, and the kernel's settings read-only. What of the
machine is in it, it cannot write. Where it cannot be had, tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hosts import own_network
from parts import require

import consolekit

PATIENCE = 30.0
DEPLOY = Path(__file__).parent.parent / "deploy"
UNIT = "consolekit.service"
GROUP = 500  #: consolekit-config, which the unit wants
SPACES = ("--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = "#!/opt/consolekit/bin/python\nfrom consolekit.cli.main import main\nmain()\n"
#: What units of a machine hang on; here nothing is behind them.
TARGETS = ("sysinit", "basic", "shutdown", "umount", "sockets", "network-online", "multi-user")
#: What is of this place: systemd's log has nobody to take it, and Python is elsewhere than its build thinks.
DROP_IN = """
[Service]
Environment=LD_LIBRARY_PATH=/opt/python/lib
StandardOutput=append:/var/log/consolekit
StandardError=append:/var/log/consolekit
"""
#: Becomes systemd. Its arguments: the new root, Python, its packages, the tree.
BOOT = """
set -eu
cd "$1"
mount --bind . .
cd "$1"
mkdir -p usr proc sys dev run tmp mnt root home var/tmp var/lib opt/python opt/packages opt/tree
chmod 1777 tmp var/tmp
read_only() { mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; }
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then cp -P "/$name" .
  elif [ -d "/$name" ]; then mkdir "$name"; read_only "/$name" "$name"
  fi
done
read_only /usr usr
read_only "$2" opt/python
read_only "$3" opt/packages
read_only "$4" opt/tree
mount -t proc proc proc
read_only proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
pivot_root . mnt
cd /
umount -l /mnt
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tests SYSTEMD_UNIT_PATH=/etc/systemd/system \
  SYSTEMD_GENERATOR_PATH=/none /lib/systemd/systemd --system --unit=multi-user.target --log-target=null
"""


@attrs.define
class System:
    """A running systemd.

    Attributes:
        root: Its file system, as we see it.
        process: What ends with it.
        pid: Its own process, as we see it.
    """

    root: Path
    process: subprocess.Popen[bytes]
    pid: int

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``systemctl``, as root there."""
        return self.run("systemctl", *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Any command, as root there."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--root", "--"]
        there = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_UNIT_PATH=/etc/systemd/system"]
        command = [*inside, *there, *words]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    def done(self, *words: str) -> None:
        """``systemctl``, which must do what it is told."""
        result = self.ctl(*words)
        assert result.returncode == 0, f"{result.stderr}{self.ctl('status', UNIT).stdout}{self.log()}"

    def show(self, name: str, unit: str = UNIT) -> str:
        """One property of a unit."""
        return self.ctl("show", f"--property={name}", "--value", unit).stdout.strip()

    def log(self) -> str:
        """All that the service has said."""
        log = self.root / "var/log/consolekit"
        return log.read_text() if log.exists() else ""


@contextlib.contextmanager
def booted(root: Path) -> Iterator[System]:
    """Such a system in this directory; this thread, and what it starts, shares its network meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("only root can give systemd namespaces of its own")
    for program, package in (("systemctl", "systemd"), ("nsenter", "util-linux"), ("setpriv", "util-linux")):
        require(program, package)
    if not Path(consolekit.__file__).stat().st_mode & 0o004:
        pytest.skip("the service's user cannot read this tree: it is its owner's alone")
    _fill(root)
    with contextlib.ExitStack() as stack:
        group = _control_group(stack)
        try:
            stack.enter_context(own_network())
        except (OSError, subprocess.CalledProcessError) as exc:
            pytest.skip(f"this machine gives no network namespace: {exc}")
        may = subprocess.run(_inside(group, "unshare", *SPACES, "true"), capture_output=True, check=False)
        if may.returncode != 0:
            pytest.skip(f"this machine gives no namespaces: {may.stderr.decode().strip()}")
        yield _boot(stack, group, root)


def _boot(stack: contextlib.ExitStack, group: Path, root: Path) -> System:
    packages, tree = sysconfig.get_path("purelib"), str(Path(consolekit.__file__).parent.parent)
    places = (str(root), sys.base_prefix, packages, tree)
    said = root.parent / "boot"
    with said.open("wb") as out:
        command = _inside(group, "unshare", *SPACES, "--kill-child", "sh", "-c", BOOT, "sh", *places)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    stack.callback(_end, process)
    deadline = time.monotonic() + PATIENCE
    while True:
        ended = process.poll() is not None
        if ended and any(word in said.read_text() for word in ("permission denied", "not permitted")):
            pytest.skip(f"this machine lets nobody mount: {said.read_text()}")
        assert not ended, said.read_text()
        assert time.monotonic() < deadline, "systemd does not come up"
        for pid in _children(process):
            if Path("/proc", str(pid), "root", "run/systemd/private").is_socket():  # as it sees its own /run
                return System(root, process, pid)
        time.sleep(0.02)


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [
            int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _inside(group: Path, *command: str) -> list[str]:
    """The command that runs another in the control group, and ends with us, however we end."""
    script = 'echo $$ >"$0/cgroup.procs" && exec setpriv --pdeathsig KILL "$@"'
    return ["sh", "-c", script, str(group), *command]


def _end(process: subprocess.Popen[bytes]) -> None:
    for pid in _children(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # process 1 takes its whole namespace with it
    process.wait()


def _control_group(stack: contextlib.ExitStack) -> Path:
    """A control group of version 2, which ends with the stack."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [left.split()[4] for left, right in mounts if right.startswith("cgroup2 ")]
    if not places:
        pytest.skip("this machine has no control groups of version 2")
    try:
        group = Path(tempfile.mkdtemp(prefix="consolekit-tests-", dir=places[0]))
    except OSError as exc:
        pytest.skip(f"no control group can be made in {places[0]}: {exc.strerror}")
    stack.callback(_remove, group)
    return group


def _remove(group: Path) -> None:
    for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    group.rmdir()


def _fill(root: Path) -> None:
    """All of its file system that is not bound into it."""
    units, program = root / "etc/systemd/system", root / "opt/consolekit"
    packages = program / "lib" / PYTHON / "site-packages"
    for directory in (
        units / f"{UNIT}.d",
        program / "bin",
        packages,
        root / "etc/consolekit",
        root / "var/log",
    ):
        directory.mkdir(parents=True)
    for name in TARGETS:
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for name in (UNIT, "consolekit.socket"):
        shutil.copy(DEPLOY / name, units)
    (units / f"{UNIT}.d" / "tests.conf").write_text(DROP_IN)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text(f"root:x:0:\nconsolekit-config:x:{GROUP}:\nnogroup:x:65534:\n")
    (root / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n")
    with contextlib.suppress(FileNotFoundError):
        shutil.copy("/etc/ld.so.cache", root / "etc")
    (program / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (program / "bin/python").symlink_to(f"/opt/python/bin/{PYTHON}")
    (program / "bin/consolekit").write_text(PROGRAM)
    (program / "bin/consolekit").chmod(0o755)
    (packages / "all.pth").write_text("/opt/tree\n/opt/packages\n")
