"""The fuzz targets on their seeds, without atheris, so that they cannot rot."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[2] / "fuzz"
NAMES = sorted(path.stem for path in FOLDER.glob("fuzz_*.py"))


def test_there_are_targets():
    assert {"fuzz_token", "fuzz_schema"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_stands_its_seeds(name):
    target = importlib.import_module(name)
    assert target.SEEDS
    for seed in [*target.SEEDS, b"", b"\0", b"\xff" * 40]:
        target.one_input(seed)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_target_stands_a_seed_with_a_byte_changed(name, data):
    target = importlib.import_module(name)
    seed = bytearray(data.draw(st.sampled_from(target.SEEDS)) or b"\0")
    seed[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    target.one_input(bytes(seed))
