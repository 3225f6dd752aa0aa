"""Write consolekit/api/openapi.json from openapi.yaml, which is the one written by hand."""

import json
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent.parent / "consolekit" / "api"


def written() -> str:
    """What openapi.json must hold."""
    document = yaml.safe_load((HERE / "openapi.yaml").read_text("utf-8"))
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "openapi.json").write_text(written(), "utf-8")
