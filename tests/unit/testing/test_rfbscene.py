from __future__ import annotations

import pytest

from consolekit.testing.rfbcanvas import Rect
from consolekit.testing.rfbscene import (
    BACKSPACE,
    CROSS_RGB,
    DELETE,
    ESCAPE,
    FRAMES_PER_SECOND,
    HEIGHT,
    PALETTE,
    PANEL_RGB,
    RETURN,
    SPOT_RGB,
    STAGE,
    STATUS,
    TYPED,
    TYPED_RGB,
    WIDTH,
    Scene,
)

ALL = Rect(0, 0, WIDTH, HEIGHT)


def colours(scene: Scene, rect: Rect) -> set[tuple[int, int, int]]:
    return {PALETTE[index] for index in scene.pixels(rect)}


def press(scene: Scene, text: str) -> None:
    for char in text:
        scene.key(ord(char), down=True)
        scene.key(ord(char), down=False)


def hit(scene: Scene, *keysyms: int) -> None:
    for keysym in keysyms:
        scene.key(keysym, down=True)
    for keysym in reversed(keysyms):
        scene.key(keysym, down=False)


def test_typing_shows_in_its_place_only() -> None:
    scene = Scene()
    assert colours(scene, TYPED) == {PANEL_RGB}
    before = scene.pixels(Rect(0, 0, WIDTH, TYPED.y))
    press(scene, "Hello")
    assert scene.typed == "Hello"
    assert colours(scene, TYPED) == {PANEL_RGB, TYPED_RGB}
    assert scene.pixels(Rect(0, 0, WIDTH, TYPED.y)) == before


def test_different_texts_look_different() -> None:
    one, two = Scene(), Scene()
    press(one, "abc")
    press(two, "abd")
    assert one.pixels(TYPED) != two.pixels(TYPED)


@pytest.mark.parametrize(("key", "left"), [(BACKSPACE, "ab"), (RETURN, ""), (ESCAPE, "")])
def test_editing(key: int, left: str) -> None:
    scene = Scene()
    press(scene, "abc")
    hit(scene, key)
    assert scene.typed == left


def test_a_long_line_keeps_its_end() -> None:
    scene = Scene()
    press(scene, "x" * 60 + "end")
    assert scene.typed.endswith("end")
    assert colours(scene, Rect(TYPED.right, TYPED.y, WIDTH - TYPED.right, 26)) & {TYPED_RGB} == set()


def test_ctrl_alt_del_is_said_and_not_typed() -> None:
    scene = Scene()
    before = scene.pixels(STATUS)
    hit(scene, 0xFFE3, 0xFFE9, DELETE)
    hit(scene, 0xFFE3, ord("c"))
    assert scene.typed == ""
    assert scene.pixels(STATUS) != before
    press(scene, "c")
    assert scene.typed == "c"


@pytest.mark.parametrize("keysym", [0xFFBE, 0xFF51, 0x01000394, 0xFFFFFFFF, 0])
def test_other_keys_do_no_harm(keysym: int) -> None:
    scene = Scene()
    hit(scene, keysym)
    assert scene.typed == ""


def test_a_click_leaves_a_square_until_escape() -> None:
    scene = Scene()
    square = Rect(94, 194, 12, 12)
    scene.pointer(100, 200, pressed=True)
    scene.pointer(400, 300, pressed=False)
    for _ in range(400):  # the box comes by
        scene.tick()
        assert colours(scene, square) == {SPOT_RGB}
    hit(scene, ESCAPE)
    assert SPOT_RGB not in colours(scene, ALL)


def test_the_crosshair_follows() -> None:
    scene = Scene()
    scene.pointer(200, 380, pressed=False)
    assert colours(scene, Rect(192, 380, 17, 1)) == {CROSS_RGB}
    scene.pointer(300, 350, pressed=False)
    assert CROSS_RGB not in colours(scene, Rect(192, 372, 17, 17))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (639, 399), (65535, 65535)])
def test_pointers_at_and_beyond_the_edge(x: int, y: int) -> None:
    scene = Scene()
    scene.pointer(x, y, pressed=True)
    assert SPOT_RGB in colours(scene, ALL)


def test_very_many_clicks_are_bounded() -> None:
    scene = Scene()
    for i in range(100):
        scene.pointer(6 * i, 200, pressed=True)
    assert SPOT_RGB not in colours(scene, Rect(0, 194, 12, 12))
    assert SPOT_RGB in colours(scene, Rect(588, 194, 12, 12))


def test_the_box_moves_and_stays_on_its_stage() -> None:
    scene = Scene()
    changed: list[Rect] = []
    scene.watch(changed.append)
    shown = {scene.pixels(STAGE)}
    for _ in range(5 * FRAMES_PER_SECOND):
        scene.tick()
        shown.add(scene.pixels(STAGE))
    assert len(shown) == 5 * FRAMES_PER_SECOND + 1
    clock = [rect for rect in changed if rect.y < STAGE.y]
    assert len(clock) == 5
    for rect in changed:
        assert rect in clock or rect.clip(STAGE) == rect


def test_whatever_happens_is_announced() -> None:
    scene = Scene()
    known = bytearray(scene.pixels(ALL))

    def update(rect: Rect) -> None:
        data = scene.pixels(rect)
        for row in range(rect.height):
            start = (rect.y + row) * WIDTH + rect.x
            known[start : start + rect.width] = data[row * rect.width : (row + 1) * rect.width]

    scene.watch(update)
    for turn in range(300):
        scene.tick()
        scene.pointer(turn * 7 % WIDTH, turn * 5 % HEIGHT, pressed=turn % 3 == 0)
        press(scene, chr(0x20 + turn % 90))
        if turn % 50 == 49:
            hit(scene, ESCAPE)
            scene.clipboard("text ☃")
    assert bytes(known) == scene.pixels(ALL)
    scene.unwatch(update)
    scene.tick()
    assert bytes(known) != scene.pixels(ALL)
