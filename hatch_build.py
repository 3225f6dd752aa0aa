"""Build hook: brings noVNC into the package. Knows npm and hatchling, nothing of consolekit.

noVNC is pinned in ``package.json`` and ``package-lock.json`` (with its integrity hash) and is never
committed. Whatever is built first (sdist, wheel or editable install) fetches it once into
``consolekit/web/novnc``; an sdist carries it, so a wheel made from an sdist needs no npm.

Without npm, or with an npm that fails, the build still succeeds: the wheel then has no noVNC, and
``consolekit web status`` and the viewer page say so and how to cure it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "@novnc/novnc"
MANIFESTS = ("package.json", "package-lock.json")
FOLDERS = ("core", "vendor")
#: What the licences of noVNC and of what it carries ask to travel along.
NOTICES = ("LICENSE*", "AUTHORS", "docs/LICENSE*")
NPM_TIMEOUT = 180.0
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
          "--fetch-retries=1", "--fetch-timeout=30000")  # fmt: skip


class FetchFailed(Exception):
    """noVNC could not be brought; the text says why."""


class NoVncHook(BuildHookInterface):  # type: ignore[type-arg]  # its type parameter is hatchling's
    """Fetches noVNC before anything is packed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling for every build of every target."""
        root = Path(self.root)
        try:
            provide(root, root / "consolekit" / "web" / "novnc")
        except FetchFailed as error:
            self.app.display_warning(
                f"consolekit is built WITHOUT its viewer: noVNC is missing ({error}). Install npm "
                "(Debian: apt-get install npm) and build again, or serve your own copy with "
                "--web-root. `consolekit web status` shows what is there."
            )


def provide(root: Path, target: Path) -> bool:
    """Make ``target`` hold the pinned noVNC.

    Args:
        root: Where the two npm manifests are.
        target: The directory that is to hold noVNC; replaced when it holds another version.

    Returns:
        True when it was fetched, False when it was there already.

    Raises:
        FetchFailed: npm is missing or failed; ``target`` is as it was.
    """
    wanted = pinned_version(root / "package-lock.json")
    if installed_version(target) == wanted:
        return False
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed("there is no npm on PATH")
    with tempfile.TemporaryDirectory(prefix="consolekit-npm-") as folder:
        source = npm_ci(npm, root, Path(folder))
        if installed_version(source) != wanted:
            raise FetchFailed(f"npm did not install {PACKAGE} {wanted}")
        copy_novnc(source, target)
    return True


def pinned_version(lock: Path) -> str:
    """The version that the lock file pins."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return str(packages[f"node_modules/{PACKAGE}"]["version"])


def installed_version(folder: Path) -> str | None:
    """The version that a directory holds, None when it holds none that works."""
    if not (folder / "core" / "rfb.js").is_file():
        return None
    try:
        text = (folder / "package.json").read_text(encoding="utf-8")
        return str(json.loads(text)["version"])
    except (OSError, ValueError, KeyError):
        return None


def npm_ci(npm: str, root: Path, folder: Path) -> Path:
    """Install what the lock file pins into an empty folder; npm checks the hash.

    Raises:
        FetchFailed: npm failed or took too long.
    """
    for name in MANIFESTS:
        shutil.copy(root / name, folder / name)
    try:
        subprocess.run(
            (npm, *NPM_CI),
            cwd=folder,
            check=True,
            timeout=NPM_TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        raise FetchFailed(f"npm ci failed: {_last_lines(error.stdout)}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise FetchFailed(f"npm ci failed: {error}") from error
    return folder / "node_modules" / PACKAGE


def copy_novnc(source: Path, target: Path) -> None:
    """Copy what runs in the browser, and every licence text that belongs to it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(source / name, target / name)
    for pattern in NOTICES:
        for found in sorted(source.glob(pattern)):
            place = target / found.relative_to(source)
            place.parent.mkdir(exist_ok=True)
            shutil.copy(found, place)
    # last: a copy that was interrupted has no version and is made again
    shutil.copy(source / "package.json", target / "package.json")


def _last_lines(output: str | None) -> str:
    lines = [line.strip() for line in (output or "").splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "no output"
