"""Starts everything, drives one measurement after another, and leaves nothing running."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import attrs
import machine
from peers import PLUGIN, Peer, Place
from scenarios import Reading, Scenario

_HERE = Path(__file__).parent
_BUILD = _HERE / ".build"
_SOURCES = _HERE / "load"
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_SETTLE_SECONDS = 0.5  # for what a proxy still does after a viewer's last word


class LabError(Exception):
    """Something that is needed is missing, or did not do what it should; says what to do."""


@attrs.define(kw_only=True)
class Running:
    """A proxy that runs."""

    peer: Peer
    place: Place
    process: subprocess.Popen[bytes]


class Lab:
    """One CPU for the proxies, another for viewers and console servers. Use as a context manager.

    Args:
        realtime: Run all of them before everything else on the machine (root).
    """

    def __init__(self, *, realtime: bool = False) -> None:
        self._realtime = realtime
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise LabError("two CPUs are needed: one for the proxy, one for the load")
        self._load_cpu, self._proxy_cpu = cpus[0], cpus[1]
        _build()
        self._directory = Path(tempfile.mkdtemp(prefix="run-", dir=_BUILD))
        self._cert = _certificate(self._directory)
        self._targets: dict[str, int] = {}
        self._processes: list[subprocess.Popen[Any]] = []
        self._running: dict[tuple[str, bool], Running] = {}

    def __enter__(self) -> Self:
        try:
            secure = ["--websocket", "--tls", str(self._cert)]
            kinds = {"raw": [], "rfb": ["--rfb"], "websocket": ["--websocket"], "secure": secure}
            for kind, options in kinds.items():
                self._targets[kind] = port = _free_port()
                words = [str(_BUILD / "target"), "--port", str(port), *options]
                _wait_for_port(port, self._spawn(words, self._load_cpu, f"target-{kind}"))
            self._target_pids = [process.pid for process in self._processes]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            _stop(process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def measure(self, peer: Peer, scenario: Scenario) -> tuple[Reading, float]:
        """One measurement; its reading, and how many CPUs were busy with something else meanwhile."""
        running = self._proxy(peer, scenario)
        words = running.peer.viewer(running.place, scenario.console, scenario.connections())
        words += ["--mode", scenario.mode, "--sessions", str(scenario.sessions)]
        words += ["--rfb"] if scenario.console == "rfb" else []
        for option, value in scenario.options.items():
            words += [f"--{option}", str(value)]
        viewers = self._start_viewers(words)
        try:
            return self._read(running.process.pid, viewers, scenario)
        finally:
            viewers.kill()
            viewers.communicate()

    def _read(self, pid: int, viewers: subprocess.Popen[str], scenario: Scenario) -> tuple[Reading, float]:
        before = machine.pss_kib(pid)
        _tell(viewers, "open")
        _answer(viewers, "READY")
        if scenario.fresh:
            time.sleep(_SETTLE_SECONDS)
        ready = machine.pss_kib(pid)
        busy, cpu, load = machine.busy_seconds(), machine.cpu_seconds([pid]), self._load_seconds()
        begun = time.monotonic()
        _tell(viewers, "go")
        result = json.loads(_answer(viewers, "DONE"))
        if scenario.mode == "connect":
            time.sleep(_SETTLE_SECONDS)
        cpu, wall = machine.cpu_seconds([pid]) - cpu, time.monotonic() - begun
        load = self._load_seconds() - load + result["cpu"]
        foreign = max(0.0, machine.busy_seconds() - busy - cpu - load) / wall
        reading = Reading(
            cpu=cpu,
            wall=wall,
            memory_before=before,
            memory_ready=ready,
            memory_after=machine.pss_kib(pid),
            load=result,
        )
        return reading, foreign

    def drop(self, peer: Peer, scenario: Scenario) -> None:
        """End the proxy that the scenario ran through; the next measurement gets a fresh one."""
        running = self._running.pop((peer.name, scenario.tls), None)
        if running is not None:
            self._processes.remove(running.process)
            _stop(running.process)

    def _load_seconds(self) -> float:
        return machine.cpu_seconds(self._target_pids)

    def _proxy(self, peer: Peer, scenario: Scenario) -> Running:
        key = (peer.name, scenario.tls)
        if scenario.fresh:
            self.drop(peer, scenario)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = self._start(peer, tls=scenario.tls)
        return running

    def _start(self, peer: Peer, *, tls: bool) -> Running:
        directory = Path(tempfile.mkdtemp(prefix=f"{peer.name}-", dir=self._directory))
        cert = self._cert if tls else None
        place = Place(directory, _free_port(), self._targets, cert=cert, trusted=self._cert)
        process = self._spawn(peer.command(place), self._proxy_cpu, directory.name)
        try:
            _wait_for_port(peer.port(place), process)
        except LabError as exc:
            log = (self._directory / f"{directory.name}.log").read_text()[-2000:]
            raise LabError(f"{peer.name} did not start: {exc}\n{log}") from exc
        time.sleep(_SETTLE_SECONDS)
        return Running(peer=peer, place=place, process=process)

    def _spawn(self, words: list[str], cpu: int, name: str) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepared(cpu, self._realtime),
                env=os.environ | {"PYTHONPATH": str(PLUGIN)},
            )
        self._processes.append(process)
        return process

    def _start_viewers(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(_BUILD / "viewers"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_prepared(self._load_cpu, self._realtime),
        )


def _tell(viewers: subprocess.Popen[str], word: str) -> None:
    assert viewers.stdin is not None
    viewers.stdin.write(f"{word}\n")
    viewers.stdin.flush()


def _answer(viewers: subprocess.Popen[str], word: str) -> str:
    assert viewers.stdout is not None
    line = viewers.stdout.readline()
    if not line.startswith(word):
        raise LabError(f"the viewers failed: {line.strip() or 'no answer'}")
    return line.removeprefix(word)


def _prepared(cpu: int, realtime: bool) -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        os.sched_setaffinity(0, {cpu})
        if realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing outlives us, whatever ends us

    return prepare


def _stop(process: subprocess.Popen[Any]) -> None:
    """End a process and its children: they are one session of ours (``start_new_session``)."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(_STOP_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LabError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise LabError(f"nobody listens on port {port}")


def _build() -> None:
    _BUILD.mkdir(exist_ok=True)
    for program in ("viewers", "target"):
        sources = [_SOURCES / f"{name}.c" for name in (program, "wire", "frames")]
        built = _BUILD / program
        newest = max(path.stat().st_mtime for path in _SOURCES.iterdir())
        if built.exists() and built.stat().st_mtime > newest:
            continue
        if shutil.which("gcc") is None:
            raise LabError("gcc and OpenSSL's headers are needed: apt-get install gcc libc6-dev libssl-dev")
        words = ["gcc", "-O3", "-o", str(built), *map(str, sources), "-lssl", "-lcrypto"]
        result = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
        if result.returncode:
            cure = "is libssl-dev there? apt-get install libc6-dev libssl-dev"
            raise LabError(f"the load generator cannot be compiled; {cure}\n{result.stderr[:2000]}")
        print(f"compiled {built.relative_to(_HERE)}", file=sys.stderr)


def _certificate(directory: Path) -> Path:
    """A self-signed certificate with its key in one file."""
    if shutil.which("openssl") is None:
        raise LabError("openssl is needed to make a certificate: apt-get install openssl")
    key, cert, both = (directory / name for name in ("key.pem", "cert.pem", "both.pem"))
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-keyout", str(key), "-out", str(cert)]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    both.write_text(cert.read_text() + key.read_text())
    both.chmod(0o600)
    return both
