"""Providers: reads a password from its file. Shared by whoever has one; knows no hypervisor.

Files are read whenever the password is needed, so a changed file counts at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from consolekit.core.errors import ConsoleUnavailable
from consolekit.core.types import Secret

_LONGEST: Final = 4096


def read_password(path: Path) -> Secret:
    """Read a password file; one line end at its end is not part of the password.

    Raises:
        ConsoleUnavailable: it cannot be read, is empty or no text; names the file, never its content.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as exc:
        raise ConsoleUnavailable(f"the password file {path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConsoleUnavailable(f"the password file {path} is not UTF-8 text") from None
    if not text or len(data) > _LONGEST:
        fault = "is empty" if not text else f"is over {_LONGEST} bytes long"
        raise ConsoleUnavailable(f"the password file {path} {fault}")
    return Secret(text)
