"""What the pod of ``deploy/kubernetes.yaml`` runs, run as there: not root, and nothing writable but /tmp.

It is a process in a mount namespace of its own: the kernel's part of a container, without an image.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from manifest import ROOT, Manifest
from parts import require
from redisserver import RedisServer
from served import COMMAND, listening

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process other mounts"),
]


def script(folder: Path, user: int, arguments: list[str]) -> str:
    """A shell's: the mounts of the pod, then the command in place of the shell.

    What the command is made of is shown again where it was, if /tmp or a directory of root's alone hides it.
    """
    needed = outermost({ROOT, Path(sys.prefix), Path(sys.base_prefix), folder})
    covers = outermost({Path("/tmp"), *(closed for path in needed for closed in closed_to_others(path))})
    lines = ["set -e", "umask 022", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for number, path in enumerate(needed):
        lines += [f"mkdir /mnt/{number}", f"mount --bind {quoted(path)} /mnt/{number}"]
    lines += [f"mount -t tmpfs -o mode=1777 tmpfs {quoted(path)}" for path in covers]
    for number, path in enumerate(needed):
        lines += [f"mkdir -p {quoted(path)}", f"mount --bind /mnt/{number} {quoted(path)}"]
        lines += [f"mount -o remount,ro,bind {quoted(path)}"]
    lines += ["mount -o remount,ro,bind /"]
    for path in (*needed, Path("/etc")):
        lines += [
            f"if touch {quoted(path / 'x')} 2>/dev/null; then echo {quoted(path)} is writable; exit 1; fi"
        ]
    rights = (
        f"--reuid={user} --regid={user} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    )
    command = shlex.join([*COMMAND, *arguments])
    return "\n".join(
        [*lines, f"exec setpriv {rights} env -i PATH=/usr/bin PYTHONDONTWRITEBYTECODE=1 {command}"]
    )


def outermost(paths: set[Path]) -> list[Path]:
    """Those that lie in none of the others."""
    return sorted(path for path in paths if paths.isdisjoint(path.parents))


def closed_to_others(path: Path) -> Iterator[Path]:
    """The uppermost directory on the way to it that only its owner may pass, if there is one."""
    for each in (*reversed(path.parents), path):
        if not each.stat().st_mode & 0o001:
            yield each
            return


def quoted(path: Path) -> str:
    return shlex.quote(str(path))


def status(url: str, host: str) -> int:
    request = urllib.request.Request(url, headers={"Host": host})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        answered: int = reply.status
        return answered


def test_the_pod_serves_and_ends_as_the_manifest_expects(tmp_path: Path) -> None:
    unshare, _ = require("unshare", "util-linux"), require("setpriv", "util-linux")
    manifest = Manifest()
    user = manifest.pod["securityContext"]["runAsUser"]
    redis = RedisServer(requirepass=manifest.one("Secret")["stringData"]["redis-password"])
    try:
        changes = {f'":{port}"': '"127.0.0.1:0"' for port in manifest.ports.values()}
        config = manifest.mounted(tmp_path, **changes, **{"redis:6379": f"127.0.0.1:{redis.port}"})
        for path in tmp_path.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o440)  # as fsGroup and defaultMode make them
            os.chown(path, 0, user)
        tmp_path.chmod(0o755)
        arguments = [*manifest.container["args"][:2], str(config)]
        inside = ["sh", "-c", script(tmp_path, user, arguments)]
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [unshare, "--mount", "--propagation", "private", *inside],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            urls = listening(process, log, "serve")
            for probe in ("livenessProbe", "readinessProbe"):
                get = manifest.container[probe]["httpGet"]
                assert get["port"] == "admin"
                assert status(urls["admin"] + get["path"], "10.244.0.7:6082") == 200
            assert status(urls["api"] + "/openapi.json", "consolekit-api:6081") == 200
            kernel = Path(f"/proc/{process.pid}/status").read_text()
            assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in kernel
            assert "CapEff:\t0000000000000000\n" in kernel
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    finally:
        redis.close()
