"""CLI: ``new-provider``: a package of one's own to begin with: one class, its tests, its CI. Asks nobody.

The files in ``scaffold`` are its text; what stands between @ signs in them is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import click

from consolekit.__about__ import __version__
from consolekit.cli.frame import OK, Command
from consolekit.cli.output import say
from consolekit.core.plugins import PROVIDERS, installed

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME: Final = 30
_FILES: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/tests.yml": "ci.yml.txt",
    "@MODULE@.py": "provider.py.txt",
    "tests/test_@WORD@.py": "test_provider.py.txt",
}


@click.command("new-provider", cls=Command)
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to put it; it must not be there, or be empty.  [default: consolekit-NAME]",
)
def new_provider(name: str, directory: Path | None) -> int:
    """Begin a provider's package: a class, tests on the contract kit, CI.

    NAME is what operators will write after `use`: your hypervisor's name in small letters. The package is
    complete and its tests are green; its hypervisor is made up, for you to replace.
    """
    _check_name(name)
    folder = directory or Path(f"consolekit-{name}")
    _check_folder(folder)
    for path, text in files_of(name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    words = _words(name)
    say(f"{folder}: a provider named {name}; its class is {words['CLASS']} in {words['MODULE']}.py")
    say("")
    say("Now:")
    say(f"  cd {folder}")
    say("  python -m pip install --editable '.[test]'")
    say("  python -m pytest")
    say("  consolekit providers list")
    return OK


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"must be small letters, digits and single hyphens, begin with a letter, and have at most "
            f"{_LONGEST_NAME} characters: acme, my-cloud",
            param_hint="NAME",
        )
    if name.startswith("consolekit"):
        raise click.BadParameter("must not begin with consolekit: that is put in front", param_hint="NAME")
    if taken := [info for info in installed(PROVIDERS) if info.name == name]:
        raise click.BadParameter(
            f"is taken by {taken[0].distribution} {taken[0].version}, and a name that two packages claim is "
            "nobody's; choose another",
            param_hint="NAME",
        )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is there and is no directory; nothing was written")
    if folder.is_dir() and any(folder.iterdir()):
        raise click.UsageError(
            f"{folder} is there and is not empty; nothing was written. Choose another --directory"
        )


def _words(name: str) -> Mapping[str, str]:
    parts = name.split("-")
    return {
        "NAME": name,
        "WORD": "_".join(parts),
        "MODULE": "_".join(["consolekit", *parts]),
        "CLASS": "".join(part.capitalize() for part in parts) + "Provider",
        "TITLE": " ".join(part.capitalize() for part in parts),
        "VERSION": ".".join(__version__.split(".")[:2]),
    }


def files_of(name: str) -> dict[str, str]:
    """The text of each file of a provider's package, by its path in there."""
    words, here = _words(name), resources.files("consolekit.cli") / "scaffold"
    return {
        _put(path, words): _put((here / source).read_text("utf-8"), words) for path, source in _FILES.items()
    }


def _put(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)
