"""Testing: what the demo console shows, and how it answers keys, clicks and clipboard.

Knows no protocol, no socket.

Fixed places, so that a test can look at pixels (640 x 400, origin at the upper left):

- ``STAGE``: a box that bounces and changes its colour at each wall.
- ``TYPED``: what is typed appears here in ``TYPED_RGB`` on ``PANEL_RGB``, and nothing else does.
  Backspace takes the last character, Return and Escape clear the line.
- ``STATUS``: one line about the last event.
- A press of the left button leaves a square of ``SPOT_SIZE`` pixels in ``SPOT_RGB`` around the
  pointer, above everything else, until Escape.
- The last pointer position is shown as a crosshair in ``CROSS_RGB``, below the squares.

All viewers share one scene.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from consolekit.testing.rfbcanvas import ADVANCE, GLYPH_HEIGHT, Canvas, Colour, Rect

WIDTH, HEIGHT = 640, 400
FRAMES_PER_SECOND = 20

STAGE = Rect(16, 48, 608, 268)
TYPED = Rect(16, 332, 608, 26)
STATUS = Rect(16, 364, 608, 22)
SPOT_SIZE = 12

TYPED_RGB: Colour = (120, 255, 160)
PANEL_RGB: Colour = (10, 12, 24)
SPOT_RGB: Colour = (255, 64, 129)
CROSS_RGB: Colour = (255, 214, 10)

_BANDS: list[Colour] = [(18 + i, 24 + 2 * i, 52 + 4 * i) for i in range(16)]
_BOX: list[Colour] = [(0, 150, 199), (72, 149, 120), (155, 93, 229), (224, 122, 95), (61, 90, 254)]
_BRIGHT, _DIM, _SPOT, _TYPED, _CROSS, _PANEL, _FIRST_BOX = range(16, 23)

PALETTE: list[Colour] = [
    *_BANDS,
    (236, 240, 250),
    (138, 152, 186),
    SPOT_RGB,
    TYPED_RGB,
    CROSS_RGB,
    PANEL_RGB,
    *_BOX,
]

BACKSPACE, TAB, RETURN, ESCAPE, DELETE = 0xFF08, 0xFF09, 0xFF0D, 0xFF1B, 0xFFFF
_MODIFIERS = {
    0xFFE1: "Shift", 0xFFE2: "Shift", 0xFFE3: "Ctrl", 0xFFE4: "Ctrl", 0xFFE7: "Meta", 0xFFE8: "Meta",
    0xFFE9: "Alt", 0xFFEA: "Alt", 0xFFEB: "Super", 0xFFEC: "Super", 0xFE03: "AltGr",
}  # fmt: skip
_NAMES = {BACKSPACE: "Backspace", TAB: "Tab", RETURN: "Return", ESCAPE: "Escape", DELETE: "Del"}
_F1, _F12 = 0xFFBE, 0xFFC9

_BOX_SIZE = (152, 44)
_LINE_CHARACTERS = 47
_MOST_SPOTS = 64

Watcher = Callable[[Rect], None]


class Scene:
    """The demo's screen: a static background, above it a bouncing box, the crosshair, the squares."""

    def __init__(self, title: str = "consolekit demo") -> None:
        self._title = title
        self._back = Canvas(WIDTH, HEIGHT)
        self._front = Canvas(WIDTH, HEIGHT)
        self._boxes = [_draw_box(_FIRST_BOX + i) for i in range(len(_BOX))]
        self._box, self._box_x, self._box_y = 0, STAGE.x + 40, STAGE.y + 30
        self._step_x, self._step_y = 3, 2
        self._frames = 0
        self._typed = ""
        self._held: set[int] = set()
        self._pointer = Rect(WIDTH // 2, HEIGHT // 2, 0, 0)
        self._spots: deque[Rect] = deque()
        self._watchers: list[Watcher] = []
        self._draw_background()
        self._compose(self._front.area)

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` with every rectangle that changes."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Stop calling it."""
        self._watchers.remove(watcher)

    def pixels(self, rect: Rect) -> bytes:
        """The palette indices now shown inside a rectangle."""
        return self._front.pixels(rect)

    @property
    def typed(self) -> str:
        """What stands in the typed line."""
        return self._typed

    def tick(self) -> None:
        """Let a frame's time pass: the box moves, once a second the clock does."""
        before = self._box_rect()
        self._move_box()
        self._change(before.union(self._box_rect()))
        self._frames += 1
        if self._frames % FRAMES_PER_SECOND == 0:
            self._draw_clock()

    def key(self, keysym: int, *, down: bool) -> None:
        """A key goes down or up (RFC 6143, 7.5.4; keysyms as X11 numbers them)."""
        if keysym in _MODIFIERS:
            (self._held.add if down else self._held.discard)(keysym)
        elif down:
            self._press(keysym)

    def pointer(self, x: int, y: int, *, pressed: bool) -> None:
        """The pointer moved to a place; ``pressed`` if its left button went down there."""
        before = self._cross_rect()
        self._pointer = Rect(min(x, WIDTH - 1), min(y, HEIGHT - 1), 0, 0)
        for rect in (before, self._cross_rect()):
            self._change(rect)
        if pressed:
            self._add_spot()

    def clipboard(self, text: str) -> None:
        """The viewer's clipboard arrived."""
        self._say(f"clipboard: {text[:60]}")

    def _press(self, keysym: int) -> None:
        held = sorted({_MODIFIERS[key] for key in self._held} - {"Shift"})
        name = _key_name(keysym)
        printable = 0x20 <= keysym <= 0xFF and not held
        self._say("-".join([*reversed(held), name]))
        if keysym == ESCAPE:
            self._clear_spots()
        if keysym in (ESCAPE, RETURN):
            self._type("")
        elif keysym == BACKSPACE:
            self._type(self._typed[:-1])
        elif printable:
            self._type((self._typed + chr(keysym))[-_LINE_CHARACTERS:])

    def _type(self, text: str) -> None:
        self._typed = text
        self._back.fill(TYPED, _PANEL)
        self._back.text(TYPED.x + 8, TYPED.y + 6, text, _TYPED, scale=2)
        self._change(TYPED)

    def _say(self, text: str) -> None:
        self._back.fill(STATUS, _PANEL)
        self._back.text(STATUS.x + 8, STATUS.y + 8, text, _DIM)
        self._change(STATUS)

    def _add_spot(self) -> None:
        half = SPOT_SIZE // 2
        spot = Rect(self._pointer.x - half, self._pointer.y - half, SPOT_SIZE, SPOT_SIZE)
        self._spots.append(spot)
        self._change(spot)
        if len(self._spots) > _MOST_SPOTS:
            self._change(self._spots.popleft())
        self._say(f"click at {self._pointer.x},{self._pointer.y}")

    def _clear_spots(self) -> None:
        spots, self._spots = self._spots, deque()
        for spot in spots:
            self._change(spot)

    def _move_box(self) -> None:
        width, height = _BOX_SIZE
        self._box_x += self._step_x
        self._box_y += self._step_y
        wall_x = not STAGE.x <= self._box_x <= STAGE.right - width
        wall_y = not STAGE.y <= self._box_y <= STAGE.bottom - height
        if wall_x:
            self._step_x = -self._step_x
            self._box_x += 2 * self._step_x
        if wall_y:
            self._step_y = -self._step_y
            self._box_y += 2 * self._step_y
        if wall_x or wall_y:
            self._box = (self._box + 1) % len(self._boxes)

    def _box_rect(self) -> Rect:
        return Rect(self._box_x, self._box_y, *_BOX_SIZE)

    def _cross_rect(self) -> Rect:
        return Rect(self._pointer.x - 8, self._pointer.y - 8, 17, 17)

    def _change(self, rect: Rect) -> None:
        rect = rect.clip(self._front.area)
        if rect.empty:
            return
        self._compose(rect)
        for watcher in self._watchers:
            watcher(rect)

    def _compose(self, rect: Rect) -> None:
        self._front.blit(self._back, rect)
        self._front.blit(self._boxes[self._box], rect, at=(self._box_x, self._box_y))
        for line in self._cross_lines():
            self._front.fill(line.clip(rect), _CROSS)
        for spot in self._spots:
            self._front.fill(spot.clip(rect), _SPOT)

    def _cross_lines(self) -> Iterator[Rect]:
        yield Rect(self._pointer.x - 8, self._pointer.y, 17, 1)
        yield Rect(self._pointer.x, self._pointer.y - 8, 1, 17)

    def _draw_background(self) -> None:
        band = HEIGHT // len(_BANDS)
        for index in range(len(_BANDS)):
            self._back.fill(Rect(0, index * band, WIDTH, band), index)
        self._back.text(16, 14, self._title[:36], _BRIGHT, scale=2)
        self._back.text(16, 36, "Type something. Click somewhere. Escape clears.", _DIM)
        self._draw_clock()
        self._type("")
        self._say("waiting for keys and clicks")

    def _draw_clock(self) -> None:
        minutes, seconds = divmod(self._frames // FRAMES_PER_SECOND, 60)
        text = f"{minutes:02d}:{seconds:02d}"
        place = Rect(624 - len(text) * ADVANCE * 2, 14, len(text) * ADVANCE * 2, GLYPH_HEIGHT * 2)
        self._back.fill(place, _PANEL)
        self._back.text(place.x, place.y, text, _BRIGHT, scale=2)
        self._change(place)


def _draw_box(colour: int) -> Canvas:
    width, height = _BOX_SIZE
    box = Canvas(width, height, _PANEL)
    box.fill(Rect(3, 3, width - 6, height - 6), colour)
    box.text(17, 15, "consolekit", _BRIGHT, scale=2)
    return box


def _key_name(keysym: int) -> str:
    if 0x20 <= keysym <= 0xFF:
        return f"key {chr(keysym)}"
    if _F1 <= keysym <= _F12:
        return f"F{keysym - _F1 + 1}"
    return _NAMES.get(keysym, f"key 0x{keysym:04x}")
