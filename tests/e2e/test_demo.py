"""``consolekit demo`` as a newcomer meets it: one URL, a moving picture that answers keys and clicks."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from served import COMMAND

from consolekit.testing.rfbscene import SPOT_RGB, STAGE, TYPED, TYPED_RGB

pytestmark = [pytest.mark.browser, pytest.mark.external]

COUNT = """([x, y, width, height, wanted]) => {
  const canvas = document.querySelector('#screen canvas');
  const {data} = canvas.getContext('2d').getImageData(x, y, width, height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (wanted.every((part, k) => data[i + k] === part)) count++;
  return count;
}"""
SUM = """([x, y, width, height]) => {
  const canvas = document.querySelector('#screen canvas');
  const {data} = canvas.getContext('2d').getImageData(x, y, width, height);
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]) >>> 0;
  return sum;
}"""


def area(place) -> list[int]:
    return [place.x, place.y, place.width, place.height]


@pytest.fixture
def demo() -> Iterator[str]:
    """A running demo; gives its URL. It must end well on Ctrl-C."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--no-browser"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    shown = ""
    try:
        for line in process.stdout:
            shown += line
            if match := re.search(r"http://\S+#token=\S+", line):
                yield match[0]
                break
        else:
            raise AssertionError(f"no URL:\n{shown}")
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0, shown + rest
    assert "Traceback" not in shown + rest


def count(page: Page, place: list[int], colour: tuple[int, int, int]) -> int:
    return int(page.evaluate(COUNT, [*place, list(colour)]))


def until_count(page: Page, place: list[int], colour: tuple[int, int, int], least: int) -> None:
    page.wait_for_function(f"(given) => ({COUNT})(given) >= {least}", arg=[*place, list(colour)])


def test_the_picture_moves_and_answers_keys_and_clicks(page: Page, demo: str) -> None:
    page.goto(demo)
    page.wait_for_selector("body[data-state=connected]")
    page.wait_for_function(f"(given) => ({COUNT})(given) > 0", arg=[0, 0, 640, 400, [236, 240, 250]])
    before = page.evaluate(SUM, area(STAGE))
    page.wait_for_function(f"([place, before]) => ({SUM})(place) !== before", arg=[area(STAGE), before])

    assert count(page, area(TYPED), TYPED_RGB) == 0
    page.locator("#screen canvas").focus()
    page.keyboard.type("hello")
    until_count(page, area(TYPED), TYPED_RGB, 100)

    box = page.locator("#screen canvas").bounding_box()
    assert box is not None
    spot = [STAGE.x + 500, STAGE.y + 20]
    scale = box["width"] / 640
    assert count(page, [spot[0] - 6, spot[1] - 6, 12, 12], SPOT_RGB) == 0
    page.mouse.click(box["x"] + spot[0] * scale, box["y"] + spot[1] * scale)
    until_count(page, [spot[0] - 6, spot[1] - 6, 12, 12], SPOT_RGB, 64)

    page.keyboard.press("Escape")
    page.wait_for_function(f"(given) => ({COUNT})(given) === 0", arg=[*area(TYPED), list(TYPED_RGB)])
