"""Auth: the keys of sealed tokens, in a file that is written whole and read again when it changes.

Knows files and random bytes; knows no token and no library that seals. A JWK set (RFC 7517, 5): each key is
``active`` (the newest of these seals) or ``retiring`` (it only opens what it has sealed).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from consolekit.auth.exact import read_base64url, read_json, write_base64url
from consolekit.auth.sealedschema import KEY_FILE
from consolekit.core.errors import ConfigError, Problem
from consolekit.core.schema import problems_of
from consolekit.core.types import Clock

_log = logging.getLogger(__name__)

KEY_BYTES: Final = 32
ACTIVE: Final = "active"
RETIRING: Final = "retiring"

_LONGEST_FILE: Final = 64 * 1024
_LOOK_SECONDS: Final = 1.0
_FEWEST_VALUES: Final = 16  # of 32 random bytes about 30 differ
_EXAMPLES: Final = frozenset(
    {
        "saH0gFSP4XM_tAP_a5rU9ooHbltwLiJpL4LLLnrqQPw",  # RFC 7516, A.1
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",  # RFC 7518, B.1 and elsewhere: 0, 1, 2, ...
    }
)


@attrs.frozen(kw_only=True)
class Key:
    """One key.

    Attributes:
        kid: Its public name.
        material: The key itself.
        created: Epoch seconds.
        state: ``active`` or ``retiring``.
    """

    kid: str
    material: bytes = attrs.field(repr=False)
    created: int
    state: str = ACTIVE


@attrs.frozen
class KeySet:
    """Keys by name, in the order of the file; at least one of them is active."""

    keys: tuple[Key, ...]

    def get(self, kid: str) -> Key | None:
        """The key of that name."""
        return next((key for key in self.keys if key.kid == kid), None)

    @property
    def sealing(self) -> Key:
        """The newest active key; of equally old ones the last in the file."""
        return max((key for key in self.keys if key.state == ACTIVE), key=lambda key: key.created)

    def rotated(self, created: int) -> KeySet:
        """With a new key that seals; those that did only open from now on."""
        old = tuple(attrs.evolve(key, state=RETIRING) for key in self.keys)
        # never older than what it follows, even where the clock has gone back
        created = max(created, *(key.created for key in old))
        return KeySet((*old, new_key(created)))

    def without(self, kid: str) -> KeySet:
        """Without a key: its tokens open nothing any more.

        Raises:
            ValueError: there is none of that name, or it is the one that seals.
        """
        if self.get(kid) is None:
            raise ValueError("there is no key of that name")
        if self.sealing.kid == kid:
            raise ValueError("it is the key that seals: rotate first")
        return KeySet(tuple(key for key in self.keys if key.kid != kid))


def new_key(created: int) -> Key:
    """A fresh key: 256 bits from the operating system."""
    return Key(kid=secrets.token_hex(4), material=secrets.token_bytes(KEY_BYTES), created=created)


# ---- the file


def read_keys(path: Path) -> KeySet:
    """The keys in a file.

    Raises:
        ConfigError: it cannot be read, others may read it, or something in it is wrong; quotes nothing of it.
    """
    return _read(path)[0]


def change_keys(path: Path, change: Callable[[KeySet], KeySet]) -> KeySet:
    """Read a file's keys, change them, write them; one who changes waits for another.

    Args:
        path: The file.
        change: Gives the new keys; what it raises is raised, and nothing is written.

    Returns:
        The new keys.

    Raises:
        ConfigError: as ``read_keys``.
        OSError: it cannot be written; what was there is as it was.
    """
    try:  # the directory is locked, because the file is replaced
        directory = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError([Problem("keys_file", f"{path}: {exc.strerror or type(exc).__name__}")]) from exc
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        changed = change(read_keys(path))
        write_keys(path, changed)
        return changed
    finally:
        os.close(directory)


def write_keys(path: Path, keys: KeySet, *, fresh: bool = False) -> None:
    """Write a file whole, with mode 0600; one that is there keeps its owner.

    Args:
        path: Where.
        keys: What.
        fresh: Whether there must not be one yet.

    Raises:
        FileExistsError: there is one, and ``fresh`` is asked for.
        OSError: it cannot be written; what was there is as it was.
    """
    path = path.resolve()  # a link stays one: what it leads to is replaced
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(_text(keys))
            if not fresh:
                old = path.stat()
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            os.link(name, path)  # unlike a renaming, this replaces nothing
            os.unlink(name)
        else:
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _text(keys: KeySet) -> str:
    plain = [
        {
            "kty": "oct",
            "kid": key.kid,
            "k": write_base64url(key.material),
            "created": key.created,
            "state": key.state,
        }
        for key in keys.keys
    ]
    return json.dumps({"keys": plain}, indent=2) + "\n"


def _read(path: Path) -> tuple[KeySet, tuple[int, ...]]:
    """The keys, and by what to know that the file is another."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            _check_file(found)
            data = file.read(_LONGEST_FILE + 1)
        if len(data) > _LONGEST_FILE:
            raise ValueError("is no key file: it is too large")
        return _keys(data), _signs(found)
    except OSError as exc:
        raise ConfigError([Problem("keys_file", f"{path}: {exc.strerror or type(exc).__name__}")]) from exc
    except ValueError as exc:
        raise ConfigError([Problem("keys_file", f"{path}: {exc}")]) from None


def _check_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("is no file")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise ValueError(f"its mode is {mode:04o}: others than its owner may use it; chmod 600")


def _signs(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode


def _keys(data: bytes) -> KeySet:
    plain = read_json(data)
    if problems := problems_of(KEY_FILE, plain):
        raise ValueError(str(problems[0]))
    keys = tuple(_key(place, entry) for place, entry in enumerate(plain["keys"]))
    _check_different(keys)
    if not any(key.state == ACTIVE for key in keys):
        raise ValueError("no key is active: nothing could be sealed")
    return KeySet(keys)


def _key(place: int, entry: Mapping[str, Any]) -> Key:
    try:
        material = _material(entry["k"])
    except ValueError as exc:
        raise ValueError(f"keys.{place}.k: {exc}") from None
    return Key(kid=entry["kid"], material=material, created=int(entry["created"]), state=entry["state"])


def _material(text: str) -> bytes:
    material = read_base64url(text)
    if len(material) != KEY_BYTES:
        raise ValueError(f"must be {KEY_BYTES} bytes long")
    if text in _EXAMPLES:
        raise ValueError("is a key that everybody knows, from an example")
    if len(set(material)) < _FEWEST_VALUES or all(32 <= byte < 127 for byte in material):  # a password
        raise ValueError("is no random key; make one with consolekit token keys new")
    return material


def _check_different(keys: Iterable[Key]) -> None:
    names, materials = set[str](), set[bytes]()
    for key in keys:
        if key.kid in names:
            raise ValueError("two keys have the same kid")
        if key.material in materials:
            raise ValueError("two keys are the same key")
        names.add(key.kid)
        materials.add(key.material)


class KeyFile:
    """The keys of a file that may change while we run.

    Args:
        path: Where it is.
        clock: Where time comes from.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._keys, self._known = _read(path)
        self._looked = clock.monotonic()
        self._trouble = ""

    def keys(self) -> KeySet:
        """The keys as they were a second ago at most. A file that cannot be used changes nothing."""
        now = self._clock.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            if not self._trouble and _signs(self._path.stat()) == self._known:
                return
            self._keys, self._known = _read(self._path)
        except OSError as exc:
            self._tell(f"{self._path}: {exc.strerror or type(exc).__name__}")
        except ConfigError as exc:
            self._tell(exc.problems[0].message)
        else:
            self._trouble = ""
            names = ", ".join(key.kid for key in self._keys.keys)
            _log.info("the keys of sealed tokens were read again: %s", names)

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("the keys of sealed tokens stay as they were: %s", trouble)
