"""Test support: deploy/kubernetes.yaml and deploy/Containerfile as data. Importable as ``manifest``."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
CONFIG_DIR, SECRETS_DIR = "/etc/consolekit", "/etc/consolekit-secrets"


class Manifest:
    """The objects of the manifest."""

    def __init__(self) -> None:
        text = (ROOT / "deploy" / "kubernetes.yaml").read_text()
        self.objects: list[dict[str, Any]] = list(yaml.safe_load_all(text))

    def every(self, kind: str) -> dict[str, dict[str, Any]]:
        """By name."""
        return {each["metadata"]["name"]: each for each in self.objects if each["kind"] == kind}

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.every(kind).values()
        return found

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (only,) = self.pod["containers"]
        found: dict[str, Any] = only
        return found

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.container["ports"]}

    def port(self, name: str | int) -> int:
        """A port, which may be given by its name."""
        return name if isinstance(name, int) else self.ports[name]

    def mounted(self, folder: Path, **changes: str) -> Path:
        """Put the configuration and the secrets where the pod has them, below a folder.

        Args:
            folder: What the pod's directories are moved to.
            **changes: More to replace in the configuration: ``redis_6379="127.0.0.1:1"``.

        Returns:
            The configuration.
        """
        for directory, data in (
            (CONFIG_DIR, self.one("ConfigMap")["data"]),
            (SECRETS_DIR, self.one("Secret")["stringData"]),
        ):
            place = folder / Path(directory).name
            place.mkdir()
            for name, text in data.items():
                (place / name).write_text(text)
        config = folder / Path(CONFIG_DIR).name / "consolekit.toml"
        text = config.read_text().replace(f"{SECRETS_DIR}/", f"{folder / Path(SECRETS_DIR).name}/")
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        config.write_text(text)
        return config


def containerfile() -> list[list[tuple[str, str]]]:
    """The Containerfile's instructions, by stage: word and the rest."""
    text = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def instructions(stage: list[tuple[str, str]], word: str) -> list[str]:
    """All of one kind."""
    return [rest for each, rest in stage if each == word]


def words(rest: str) -> list[str]:
    """An instruction's words, in either of its forms."""
    found: list[str] = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    return found


def extras(text: str) -> set[str]:
    """The extras that a command asks for."""
    found = re.search(r"\[([a-z,]+)\]", text)
    assert found is not None, text
    return set(found[1].split(","))
