r"""Testing: what every viewer filter must stand, from one recorded good conversation of a viewer.

Knows core only; opens no socket. ``check_viewer_filter`` is for provider authors' tests::

    def test_filter():
        check_viewer_filter(lambda mode: MyFilter(mode), [
            Said(b"\x01", on_view=b"\x01"),
            Said(b"KEY a\n", is_input=True),
            Said(b"REFRESH\n"),
        ])
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs

from consolekit.core.errors import ViewerRefused
from consolekit.core.provider import ViewerFilter
from consolekit.core.types import Mode

FilterFactory: TypeAlias = Callable[[Mode], ViewerFilter]

HOLDS_AT_MOST: Final = 256
"""Bytes that a filter may hold back: a message's header, and no body."""

_SIZES: Final = (1, 2, 3, 7, 16, 64, 1 << 20)
_GARBAGE: Final = tuple(
    b"".join(hashlib.sha256(b"%d %d" % (seed, part)).digest() for part in range(8)) for seed in range(32)
)
_LONGEST: Final = 1 << 20


@attrs.frozen
class Said:
    """One message of a viewer.

    Attributes:
        data: All of it.
        is_input: Whether a person has put it in: a key, a click, pasted text.
        on_view: What goes on to the server in its stead where the viewer may only look; default: all of it,
            or nothing where it is input.
    """

    data: bytes
    is_input: bool = False
    on_view: bytes | None = None

    @property
    def looked(self) -> bytes:
        """What goes on where the viewer may only look."""
        if self.on_view is not None:
            return self.on_view
        return b"" if self.is_input else self.data


def check_viewer_filter(filter_factory: FilterFactory, conversation: Sequence[Said]) -> None:
    """Try a filter against a good conversation in every way a network can deliver it, and against garbage.

    With ``Mode.INTERACT`` all must go on as it is, with no more held back than a header; with ``Mode.VIEW``
    what the conversation says. ``inputs`` must grow with every input and with nothing else, however it
    is cut. Whatever is sent, ``ViewerRefused`` is the only error.

    Args:
        filter_factory: Makes a fresh filter for a mode; called for each attempt.
        conversation: What a viewer says behind the handshake, in order, with at least one input. What is
            no input belongs there too, if the protocol has such: on a serial line everything is typed.

    Raises:
        AssertionError: says what went wrong, and in which attempt.
    """
    assert any(said.is_input for said in conversation), "the conversation has no input"
    stream = b"".join(said.data for said in conversation)
    wanted = {Mode.INTERACT: stream, Mode.VIEW: b"".join(said.looked for said in conversation)}
    for mode in Mode:
        passed, inputs = _message_by_message(filter_factory(mode), conversation, mode)
        assert passed == wanted[mode], f"{mode.value}: what went on is not what should have"
        for size in _SIZES:
            _in_pieces(filter_factory(mode), stream, size, mode, (passed, inputs))
        _at_once(filter_factory, mode, conversation)
        for noise in _GARBAGE:
            _refused_or_bounded(filter_factory, mode, conversation, noise)


def _message_by_message(
    strainer: ViewerFilter, conversation: Sequence[Said], mode: Mode
) -> tuple[bytes, int]:
    passed = b""
    for number, said in enumerate(conversation):
        before, place = strainer.inputs, f"{mode.value}, message {number}"
        passed += _fed(strainer, said.data, place)
        grown = strainer.inputs - before
        if said.is_input:
            assert grown > 0, f"{place}: a person's input was not counted in inputs"
        else:
            assert grown == 0, f"{place}: what is no input was counted in inputs"
    return passed, strainer.inputs


def _fed(strainer: ViewerFilter, data: bytes, place: str) -> bytes:
    try:
        return strainer.feed(data)
    except ViewerRefused as exc:
        raise AssertionError(f"{place}: a viewer that says nothing wrong is refused") from exc


def _pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def _in_pieces(
    strainer: ViewerFilter, stream: bytes, size: int, mode: Mode, wanted: tuple[bytes, int]
) -> None:
    passed, fed = b"", 0
    place = f"{mode.value}, in pieces of {size} bytes"
    for piece in _pieces(stream, size):
        passed += _fed(strainer, piece, place)
        fed += len(piece)
        if mode is Mode.INTERACT:
            held = fed - len(passed)
            assert held <= HOLDS_AT_MOST, f"{place}: {held} bytes are held back after {fed}"
    assert passed == wanted[0], f"{place}: what went on differs from the same, message by message"
    assert strainer.inputs == wanted[1], f"{place}: inputs differ from the same, message by message"


def _at_once(filter_factory: FilterFactory, mode: Mode, conversation: Sequence[Said]) -> None:
    """Two filters, one behind the other in every message, know nothing of each other."""
    one, other = filter_factory(mode), filter_factory(mode)
    for number, said in enumerate(conversation):
        first, second = one.feed(said.data), other.feed(said.data)
        same = first == second and one.inputs == other.inputs
        assert same, f"{mode.value}, message {number}: two filters at once disturb each other"


def _refused_or_bounded(
    filter_factory: FilterFactory, mode: Mode, conversation: Sequence[Said], noise: bytes
) -> None:
    """Behind every good beginning: no other error, and no more goes on than was sent."""
    for good in range(len(conversation) + 1):
        strainer = filter_factory(mode)
        fed = sum(len(strainer.feed(said.data)) for said in conversation[:good])
        place = f"{mode.value}, garbage behind {good} messages"
        room, sent = fed + HOLDS_AT_MOST, 0
        try:
            while sent < _LONGEST >> 10:
                fed += len(strainer.feed(noise))
                sent += len(noise)
        except ViewerRefused:
            pass
        except Exception as exc:
            raise AssertionError(f"{place}: {type(exc).__name__}, not ViewerRefused") from exc
        assert fed <= room + sent, f"{place}: more went on than was sent"
