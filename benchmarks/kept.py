"""Where results are kept, and how: JSON lines, one file a day for each benchmark, always appended to."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def now() -> datetime.datetime:
    """The time that results are marked with."""
    return datetime.datetime.now(datetime.UTC)


def place(benchmark: str) -> Path:
    """Today's file of a benchmark."""
    return RESULTS / f"{benchmark}-{now():%Y-%m-%d}.jsonl"


def append(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Put records behind those that are there."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
