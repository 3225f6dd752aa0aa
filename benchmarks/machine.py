"""What Linux knows of processes: the CPU they used, the memory they hold, and what else was going on."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_UTIME, _CUTIME = 11, 13  # behind the command's name in /proc/PID/stat (proc(5))


def _stat(pid: int) -> list[bytes]:
    return (_PROC / str(pid) / "stat").read_bytes().rsplit(b")", 1)[1].split()


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    children = defaultdict(list)
    for entry in os.listdir(_PROC):
        if entry.isdigit():
            try:
                children[int(_stat(int(entry))[1])].append(int(entry))
            except OSError:
                continue
    found = [pid]
    for parent in found:
        found += children[parent]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes, of their living descendants and of those already waited for."""
    return sum(_cpu_of(member) for pid in pids for member in tree(pid))


def _cpu_of(pid: int) -> float:
    try:
        stat = _stat(pid)
        threads = (_PROC / str(pid) / "task").iterdir()
        # to the nanosecond, of the living threads; the ticks include those that have ended
        exact = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except OSError:  # it has ended; its parent's account has it
        return 0.0
    own, waited_for = (int(stat[n]) + int(stat[n + 1]) for n in (_UTIME, _CUTIME))
    return max(exact, own / _TICKS) + waited_for / _TICKS


def pss_kib(pid: int) -> int:
    """Memory of a process and its descendants, what is shared divided among those who share it."""
    return sum(_pss_of(member) for member in tree(pid))


def _pss_of(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def busy_seconds() -> float:
    """CPU time of everything on this machine so far, what its host took away included."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(word) / _TICKS for word in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + irq + softirq + steal


def describe() -> dict[str, object]:
    """This machine, for those who read the results elsewhere."""
    models = [line for line in (_PROC / "cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
    }
