"""``consolekit serve`` with workers, as processes."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trustme
import websockets.exceptions
from served import COMMAND, Served, listening
from workersite import PATIENCE, Site, echoing, gone, providers, said_back, settings, working

from consolekit.api.callers import hash_of, new_key
from consolekit.cli.notify import ServiceManager
from consolekit.cli.supervisor import Supervisor
from consolekit.config.model import AdminConfig, Config, ProxyConfig
from consolekit.core.address import Address
from consolekit.core.errors import ListenFailed


def test_one_view_of_all_workers(tmp_path):
    with working(tmp_path) as site:
        assert site.readiness() == (200, {"worker 1", "worker 2"})
        assert site.get("/healthz")[0] == 200
        consoles = [site.console() for _ in range(6)]
        assert all(said_back(console, b"hello") for console in consoles)
        assert site.figure('consolekit_sessions{protocol="serial",type="serial"}') == 6
        for console in consoles:
            console.close()
        site.until(lambda: site.figure('consolekit_sessions{protocol="serial",type="serial"}') == 0)
        assert site.figure('consolekit_sessions_opened_total{protocol="serial",type="serial"}') == 6
        carried = 'consolekit_bytes_total{direction="in",protocol="serial",type="serial"}'
        assert site.figure(carried) == 6 * len(b"hello")


def test_case_46_a_dead_worker_is_replaced_and_takes_its_own_consoles_alone(tmp_path):
    with working(tmp_path) as site:
        consoles = [site.console() for _ in range(8)]
        opened = site.figure('consolekit_sessions_opened_total{protocol="serial",type="serial"}')
        victim = site.workers()[0]
        os.kill(victim, signal.SIGKILL)
        site.until(lambda: site.readiness()[0] == 200 and "worker 3" in site.readiness()[1])
        assert victim not in site.workers()
        lived = 0
        for console in consoles:
            try:
                lived += said_back(console, b"still there?")
            except websockets.exceptions.ConnectionClosed:
                pass
        left = site.figure('consolekit_sessions_opened_total{protocol="serial",type="serial"}')
        assert left == opened, "what a worker had counted stays"
        live = site.figure('consolekit_sessions{protocol="serial",type="serial"}')
        assert lived == live, "all others go on"
        with site.console() as fresh:
            assert said_back(fresh, b"a new one")
        assert "ended by itself: by signal SIGKILL" in site.served.log.read_text()
        assert site.figure("consolekit_workers_died_total") == 1
        assert site.figure('consolekit_workers{state="serving"}') == 2


def test_case_47_a_reload_keeps_consoles_and_takes_the_new_configuration(tmp_path):
    with working(tmp_path) as site, echoing() as other:
        old, before = site.console(), set(site.workers())
        status, _ = site.served.call("POST", "/servers/b/console", {"protocol": "serial", "type": "serial"})
        assert status == 404
        site.config.write_text(site.config.read_text() + f'b = {{ address = "{other}" }}\n')
        site.reload()
        with site.console("b") as new:
            assert said_back(new, b"known now")
        assert said_back(old, b"not cut")
        assert site.readiness() == (200, {"worker 3", "worker 4"})
        old.close()
        site.until(lambda: not before & set(site.workers()))


def test_a_reload_takes_keys_certificates_and_the_level_of_the_log(tmp_path):
    with working(tmp_path, workers=1) as site:
        assert site.served.call("GET", "/sessions")[0] == 200, "nobody need show a key"
        authority, key = trustme.CA(), new_key()
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "api.pem")
        text = site.config.read_text().replace('level = "debug"', 'level = "warning"')
        text = text.replace('authentication = "none"', 'cert = "api.pem"\nkey = "api.pem"')
        site.config.write_text(f'{text}[api.keys.portal]\nsha256 = "{hash_of(key)}"\n')
        site.reload()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        url = site.served.urls["api"].replace("http://127.0.0.1", "https://localhost") + "/sessions"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, context=context)
        refused.value.close()
        assert refused.value.code == 401
        said = site.served.log.read_text()
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key.reveal()}"})
        with urllib.request.urlopen(request, context=context) as answer:
            assert answer.status == 200
        assert "GET /sessions" not in site.served.log.read_text().removeprefix(said)


def test_case_47_a_bad_file_changes_nothing(tmp_path):
    with working(tmp_path) as site:
        text = site.config.read_text()
        site.config.write_text(text + "nonsense = [\n")
        site.reload()
        assert "everything stays as it was" in site.served.log.read_text()
        assert site.readiness() == (200, {"worker 1", "worker 2"})
        with site.console() as console:
            assert said_back(console, b"as before")
        site.config.write_text(text)
        site.reload()
        assert "worker 1" not in site.readiness()[1]


def test_an_upgrade_keeps_consoles_and_the_addresses(tmp_path):
    with working(tmp_path) as site:
        first, urls = site.console(), dict(site.served.urls)
        parent = site.parent
        assert site.upgrade() not in (0, parent)
        second = site.console()
        assert said_back(first, b"opened before")
        assert said_back(second, b"opened after")
        assert site.readiness()[0] == 200
        assert site.figure('consolekit_sessions{protocol="serial",type="serial"}') == 1, "its own alone"
        other = site.parent
        site.upgrade()
        assert site.parent not in (parent, other)
        assert said_back(first, b"two upgrades later")
        assert said_back(second, b"one upgrade later")
        first.close()
        assert site.served.process.wait(PATIENCE) == 0, "the last console has ended"
        second.close()
        site.until(lambda: gone(other))
        with site.console() as third:
            assert said_back(third, b"at " + urls["proxy"].encode())


def test_an_upgrade_that_does_not_come_up_changes_nothing(tmp_path):
    with working(tmp_path, workers=1) as site:
        text = site.config.read_text()
        site.config.write_text(text + "nonsense = [\n")
        assert site.upgrade() == 0
        with site.console() as console:
            assert said_back(console, b"as before")
        assert site.readiness() == (200, {"worker 1"})
        site.config.write_text(text)


def test_a_second_stop_cuts_a_drain_short(tmp_path):
    with working(tmp_path, drain_seconds=60) as site:
        console = site.console()
        site.served.process.terminate()
        site.until(lambda: "draining 1 sessions" in site.served.log.read_text())
        assert said_back(console, b"while it drains")
        site.served.process.terminate()
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            console.recv(timeout=PATIENCE)
        assert closed.value.rcvd.code == 1001
        assert site.served.process.wait(PATIENCE) == 0


def test_case_46_workers_do_not_outlive_their_parent(tmp_path):
    config, log = tmp_path / "consolekit.toml", tmp_path / "log"
    config.write_text(settings() + providers(("a", "127.0.0.1:1")))
    with log.open("wb") as out:
        parent = subprocess.Popen([*COMMAND, "serve", "--config", str(config)], stderr=out)
    site = Site(Served(parent, log, listening(parent, log, "serve")), config, contextlib.ExitStack())
    site.until(lambda: site.readiness()[0] == 200)
    workers = site.workers()
    parent.kill()
    parent.wait()
    site.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert "the parent process is gone" in log.read_text()


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (
            ('path = "tokens.db"', 'store = "memory"'),
            2,
            "proxy.workers: needs a store that several processes see",
        ),
        (('path = "tokens.db"', 'path = "/proc/no/tokens.db"'), 1, "a worker did not come up"),
    ],
    ids=["memory", "no store"],
)
def test_what_cannot_serve_ends_with_its_reason(tmp_path, change, code, told):
    config = tmp_path / "consolekit.toml"
    config.write_text(settings().replace(*change) + providers(("a", "127.0.0.1:1")))
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(config)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (code, True, False), (
        done.stderr
    )


@pytest.mark.parametrize(
    ("directory", "told"),
    [("", "let TMPDIR name one"), ("x" * 100, "a worker cannot be started: AF_UNIX path too long")],
    ids=["nowhere to write", "too long"],
)
async def test_no_place_for_the_sockets_between_them(tmp_path, monkeypatch, caplog, directory, told):
    place = tmp_path / directory
    place.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(place) if directory else "/proc/no")
    config = Config(proxy=ProxyConfig(listen=Address("127.0.0.1", 0)), admin=AdminConfig(listen=None))

    async def begin() -> None:
        supervisor = Supervisor(config, ["proxy"], [], ServiceManager({}))
        try:
            await supervisor.start()
        finally:
            await supervisor.aclose()

    with pytest.raises(ListenFailed) as failure:
        await begin()
    assert told in f"{failure.value} {caplog.text}"
    assert not [*place.glob("consolekit-*")]


def test_a_single_process_says_that_it_cannot_reload(tmp_path):
    with working(tmp_path, workers=0) as site:
        site.served.process.send_signal(signal.SIGHUP)
        site.until(lambda: "one process alone cannot reload" in site.served.log.read_text())
        with site.console() as console:
            assert said_back(console, b"goes on")
