"""A third party's package, as an example: it builds, installs, and passes its own tests with a real QEMU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import parts
import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "consolekit-kubevirt"


def run(*command: str, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the built package is installed, and its source is out of reach."""
    folder = tmp_path_factory.mktemp("installed")
    env = {key: value for key, value in os.environ.items() if not key.startswith("CONSOLEKIT_C")}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    run(*pip, *options, str(EXAMPLE), env=env, cwd=folder)
    return {**env, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.mark.parametrize("file", sorted(path.name for path in (EXAMPLE / "tests").glob("test_*.py")))
def test_it_passes_its_own_tests(installed: dict[str, str], tmp_path: Path, file: str) -> None:
    parts.require("qemu-system-x86_64", "qemu-system-x86")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-c", str(EXAMPLE / "pyproject.toml")]
    run(sys.executable, "-m", "pytest", *options, str(EXAMPLE / "tests" / file), env=installed, cwd=tmp_path)


def test_an_operator_finds_and_configures_it(installed: dict[str, str], tmp_path: Path) -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert len(tables) == 2
    for table in tables:
        (tmp_path / "consolekit.toml").write_text(f'[api]\nauthentication = "none"\n\n{table}')
        script = "from consolekit.cli.main import main; main()"
        for words in (["config", "check", "consolekit.toml"], ["providers", "list", "-c", "consolekit.toml"]):
            said = run(sys.executable, "-c", script, *words, env=installed, cwd=tmp_path)
        assert re.search(r"cluster +kubevirt +consolekit-kubevirt 1.0 +vnc/novnc, serial/serial +ok", said)
