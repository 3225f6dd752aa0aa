"""What deploy/ has for containers fits together: manifest, configuration, Containerfile and the project.

It needs no cluster and no builder: ``tests/integration/test_container.py`` runs what the container would run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from manifest import CONFIG_DIR, ROOT, SECRETS_DIR, Manifest, containerfile, extras, instructions, words

from consolekit import __version__
from consolekit.auth.sqlite import default_path
from consolekit.cli.main import cli
from consolekit.config.load import load
from consolekit.config.model import Config, TimeoutsConfig

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "deploy" / "README.md").read_text()
SPARE_SECONDS = 5


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Manifest()


@pytest.fixture
def config(manifest: Manifest, tmp_path: Path) -> Config:
    return load(manifest.mounted(tmp_path), env={}).config


def test_the_configuration_is_found_good(manifest: Manifest, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["config", "check", str(manifest.mounted(tmp_path))])
    assert done.exit_code == 0, done.output


def test_its_listeners_are_the_containers_ports(manifest: Manifest, config: Config) -> None:
    listens = {"proxy": config.proxy.listen, "api": config.api.listen, "admin": config.admin.listen}
    assert {name: address and address.port for name, address in listens.items()} == manifest.ports
    for address in listens.values():
        assert address is not None
        assert address.host not in ("127.0.0.1", "localhost", "::1")


def test_several_pods_share_a_store_that_they_can_reach(manifest: Manifest, config: Config) -> None:
    assert manifest.one("Deployment")["spec"]["replicas"] >= 2
    assert config.tokens.store in ("redis", "sql")
    policy = manifest.one("NetworkPolicy")["spec"]
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {53, 6379} <= reached
    text = manifest.one("ConfigMap")["data"]["consolekit.toml"]
    assert "redis://redis:6379/" in text
    (secret,) = re.findall(rf'"{SECRETS_DIR}/([^"]+)"', text)
    assert secret in manifest.one("Secret")["stringData"]


def test_it_has_time_to_drain(manifest: Manifest, config: Config) -> None:
    sleep, seconds = manifest.container["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    needed = int(seconds) + config.timeouts.drain_seconds + SPARE_SECONDS
    assert manifest.pod["terminationGracePeriodSeconds"] >= needed


def test_it_can_do_no_more_than_it_must(manifest: Manifest) -> None:
    pod, container = manifest.pod, manifest.container
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_what_is_mounted_is_there(manifest: Manifest) -> None:
    volumes = {each["name"]: each for each in manifest.pod["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in manifest.container["volumeMounts"]}
    assert mounts[CONFIG_DIR]["configMap"]["name"] in manifest.every("ConfigMap")
    assert mounts[SECRETS_DIR]["secret"]["secretName"] in manifest.every("Secret")
    assert "emptyDir" in mounts["/tmp"]
    assert len(mounts) == len(volumes)


def test_everything_that_is_named_is_there(manifest: Manifest, config: Config) -> None:
    labels = manifest.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    services = manifest.every("Service")
    selectors = [each["spec"]["selector"] for each in services.values()]
    for kind, key in (
        ("Deployment", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        selectors.append(manifest.one(kind)["spec"][key]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors)
    offered = {
        name: {port["port"]: manifest.port(port["targetPort"]) for port in service["spec"]["ports"]}
        for name, service in services.items()
    }
    route = manifest.one("HTTPRoute")["spec"]
    (backend,) = (each for rule in route["rules"] for each in rule["backendRefs"])
    assert offered[backend["name"]][backend["port"]] == manifest.ports["proxy"]
    assert [f"https://{name}" for name in route["hostnames"]] == [config.proxy.base_url]
    assert config.proxy.trusted_proxies
    for host in config.proxy.allowed_hosts:
        name, _, port = host.partition(":")
        assert offered[name][int(port)] == manifest.ports["api"]
    admitted = [
        port["port"] for rule in manifest.one("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]
    ]
    assert sorted(admitted) == sorted(manifest.ports.values())
    assert all(rule["from"] for rule in manifest.one("NetworkPolicy")["spec"]["ingress"])


def test_a_console_has_no_deadline_in_the_route(manifest: Manifest) -> None:
    for rule in manifest.one("HTTPRoute")["spec"]["rules"]:
        assert set(rule["timeouts"].values()) == {"0s"}  # Gateway API: none


def test_the_image_is_what_the_manifest_runs(manifest: Manifest) -> None:
    build, image = containerfile()
    pod = manifest.pod["securityContext"]
    assert instructions(image, "USER") == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]
    (ports,) = instructions(image, "EXPOSE")
    assert sorted(map(int, ports.split())) == sorted(manifest.ports.values())
    (entry,), (arguments,) = instructions(image, "ENTRYPOINT"), instructions(image, "CMD")
    assert words(entry)[0] in PROJECT["project"]["scripts"]
    assert words(arguments) == manifest.container["args"]
    assert manifest.container["image"].endswith(f"/consolekit:{__version__}")
    assert not any("npm" in each or "apt-get" in each for each in instructions(image, "RUN"))
    (installed,) = (each for each in instructions(build, "RUN") if "[" in each)
    assert {"redis"} <= extras(installed) <= set(PROJECT["project"]["optional-dependencies"])
    (prefix,) = re.findall(r"--prefix (\S+)", installed)
    assert instructions(image, "COPY") == [f"--from=build {prefix} /usr/local"]
    assert not any("--mount" in each for each in instructions(image, "RUN"))  # Podman 4: stale after a change


def test_the_store_of_the_image_lies_where_its_user_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    _, image = containerfile()
    (user,), (settings,) = instructions(image, "USER"), instructions(image, "ENV")
    for name, _, value in (each.partition("=") for each in words(settings)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: int(user.split(":")[0]))
    folder = str(default_path().parent)
    (made,) = (words(each) for each in instructions(image, "RUN") if each.startswith("install"))
    assert made[-1] == folder
    assert f"{made[made.index('--owner') + 1]}:{made[made.index('--group') + 1]}" == user
    assert f":{folder} " in README


def test_the_container_of_the_readme_has_time_to_drain() -> None:
    (seconds,) = re.findall(r"--stop-timeout (\d+) --publish", README)
    assert int(seconds) >= TimeoutsConfig().drain_seconds + SPARE_SECONDS
    assert f"`--stop-timeout {seconds}`" in (ROOT / "docs" / "howto" / "operate.md").read_text()


def test_the_commands_of_the_image_are_there() -> None:
    _, image = containerfile()
    checks = [words(each) for each in instructions(image, "RUN") if each.startswith("consolekit")]
    assert checks == [["consolekit", "web", "status"]]
    assert CliRunner().invoke(cli, [*checks[0][1:], "--help"]).exit_code == 0


def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    build, _ = containerfile()
    source = tmp_path / "source"
    source.mkdir()
    for each in instructions(build, "COPY"):
        *names, target = words(each)
        for name in names:
            _copy(ROOT / name, source / target / name if target == "./" else source / target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("consolekit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "consolekit/cli/main.py" in names
    assert any(name.endswith("/entry_points.txt") for name in names)


def _copy(source: Path, target: Path) -> Any:
    if source.is_dir():
        return shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return shutil.copy(source, target)
