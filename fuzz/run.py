"""Runs fuzz targets under atheris (coverage-guided), each for a fixed time, and says what it did.

``python fuzz/run.py [--seconds N] [TARGET ...]``; without names all of them. Each target is a process of its
own over the corpus in ``.fuzz/TARGET``, which stays for the next run. An input that breaks a target is left
in ``.fuzz/found``; ``python fuzz/run.py TARGET --input FILE`` shows the traceback, with atheris or without.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent / ".fuzz"
FOUND = KEPT / "found"
NAMES = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))

LONGEST_INPUT = 4096  # bytes; what is told apart is told apart in fewer
LONGEST_STEP = 10  # seconds for one input: more is a fault too
MOST_MEMORY = 2048  # MiB

_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")

sys.path += [str(HERE), str(HERE.parent / "tests")]


def main() -> int:
    """Exit code: 0 nothing was found, 1 something was, 2 wrong use."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers of consolekit with atheris.")
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--input", type=Path, help="run one target on this file only")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked, flags = parser.parse_known_args()
    names = asked.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if asked.child:
        fuzz(names[0], flags)
    if flags:
        parser.error(f"unknown: {' '.join(flags)}")
    if asked.input:
        importlib.import_module(f"fuzz_{names[0]}").one_input(asked.input.read_bytes())
        return 0
    try:
        import atheris  # noqa: F401 - to say so here, once, if it is missing
    except ImportError:
        here = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}"
        print(
            f"NOT RUN: {len(names)} targets. atheris is not installed: it has wheels for CPython 3.11 to "
            f"3.13 on Linux x86-64, and this is {here}."
        )
        return 0
    return max([run(name, asked.seconds) for name in names])


def run(name: str, seconds: int) -> int:
    """One target in a process of its own: libFuzzer ends the process it is in."""
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    command = [
        *(sys.executable, __file__, name, "--child", str(corpus)),
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={LONGEST_STEP}",
        f"-rss_limit_mb={MOST_MEMORY}",
        f"-artifact_prefix={FOUND}/{name}-",
    ]
    child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = child.stdout + child.stderr
    done = _DONE.search(said)
    if child.returncode or done is None:
        print(f"{name}: FAILED; inputs are in {FOUND}")
        print("\n".join(line for line in said.splitlines() if not line.startswith("INFO"))[-4000:])
        return 1
    covered = _COVERED.findall(said)
    inputs = len(list(corpus.iterdir()))
    print(
        f"{name}: {int(done[1]):,} executions in {done[2]} s, coverage {covered[-1] if covered else '?'}, "
        f"{inputs} inputs kept, nothing found",
        flush=True,
    )
    return 0


def fuzz(name: str, flags: list[str]) -> None:
    """Be the child; does not return."""
    import atheris

    with atheris.instrument_imports(include=["consolekit"]):
        target = importlib.import_module(f"fuzz_{name}")
    corpus = Path(flags[0])
    for number, seed in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(seed)
    if words := getattr(target, "WORDS", None):
        file = KEPT / f"{name}.dict"
        file.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        flags.append(f"-dict={file}")
    atheris.Setup([sys.argv[0], *flags], target.one_input)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """As libFuzzer reads a dictionary."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
