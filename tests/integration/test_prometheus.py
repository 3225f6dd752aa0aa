"""A real Prometheus over a running gateway: what the dashboard and the alerts ask, it can answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
import trustme
import websockets.exceptions
import yaml
from dbservers import free_port
from parts import require
from prometheus_client import CollectorRegistry, ProcessCollector
from promserver import Prometheus, dashboard, scraping
from served import SETTINGS, Served, serving
from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect

from consolekit.cli.figures import ParentFigures
from consolekit.core.types import ConsoleKey
from consolekit.proxy.metrics import Metrics, Sources

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "alerts.yaml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
COMPARED = re.compile(r"(?P<left>.+) (?:>|<) [\d.* ]+", re.DOTALL)
VERSION = b"RFB 003.008\n"
T = TypeVar("T")


class Rfb(socketserver.StreamRequestHandler):
    """As much of a VNC server as shows a screen that nobody looks at."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self.wfile.write(VERSION)
            self.rfile.read(len(VERSION))
            self.wfile.write(b"\x01\x01")  # one security type: none
            self.rfile.read(1)
            self.wfile.write(bytes(4))
            self.rfile.read(1)
            self.wfile.write(b"\0\x10\0\x10" + bytes(16) + bytes(4))  # ServerInit: 16 x 16, without a name
            self.rfile.read()


@contextlib.contextmanager
def screen() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rfb) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@attrs.frozen
class Rig:
    """A gateway with TLS that is scraped."""

    site: Served
    prometheus: Prometheus
    tls: ssl.SSLContext
    loop: asyncio.AbstractEventLoop

    def link(self, server: str) -> str:
        """What stands behind the # of a link."""
        return str(self.site.link(server)["url"]).rpartition("#")[2]

    def do(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run it on the loop of the viewers: websockets' other client, with threads, loses data over TLS."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    async def look(self, fragment: str) -> ClientConnection:
        """A viewer that has a screen."""
        url = self.site.urls["proxy"].replace("https", "wss") + "/ws?" + fragment
        viewer = await connect(url, subprotocols=[Subprotocol("binary")], ssl=self.tls, proxy=None)
        await play(viewer)
        return viewer

    def refused(self, status: int, fragment: str) -> None:
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            self.do(self.look(fragment))
        assert caught.value.response.status_code == status


async def play(viewer: ClientConnection) -> None:
    """What a viewer does until it has a screen."""
    wanted = [(12, VERSION), (2, b"\x01"), (4, b"\x01"), (24, b"")]
    held = b""
    for size, answer in wanted:
        while len(held) < size:
            piece = await viewer.recv()
            assert isinstance(piece, bytes)
            held += piece
        held = held[size:]
        if answer:
            await viewer.send(answer)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    require("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    authority, tls = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(tls)
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    settings = SETTINGS.replace("workers = 0", "workers = 1")
    settings = settings.replace("[proxy]", '[proxy]\ncert = "own.pem"\nkey = "own.pem"')
    with screen() as address:
        providers = (
            '[providers.lab]\nuse = "vnc"\n'
            f'[providers.lab.servers.good]\naddress = "{address}"\n'
            f'[providers.lab.servers.dead]\naddress = "127.0.0.1:{free_port()}"\n'
        )
        with (
            serving(folder, providers, settings=settings) as site,
            scraping(folder, site.urls["admin"], rules=ALERTS) as prometheus,
        ):
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever)
            thread.start()
            try:
                yield Rig(site, prometheus, tls, loop)
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()


@pytest.fixture(scope="module")
def busy(rig: Rig) -> Iterator[Rig]:
    """With one that is open, some that were, and some that were refused."""
    for _ in range(3):
        rig.do(rig.do(rig.look(rig.link("good"))).close())
    rig.refused(401, "token=ckt_" + "x" * 43)
    rig.refused(502, rig.link("dead"))
    viewer = rig.do(rig.look(rig.link("good")))
    yield rig
    rig.do(viewer.close())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('consolekit_sessions{protocol="vnc",type="novnc"}', 1),
        ('consolekit_sessions_opened_total{protocol="vnc"}', 4),
        ('consolekit_sessions_ended_total{protocol="vnc",reason="viewer_closed"}', 3),
        ('consolekit_refusals_total{code="token_refused"}', 1),
        ('consolekit_refusals_total{code="connect_failed"}', 1),
        ('consolekit_connect_failures_total{protocol="vnc"}', 1),
        ('consolekit_handshake_seconds_count{protocol="vnc"}', 4),
        ('consolekit_provider_seconds_count{provider="lab",operation="open"}', 5),
        ('consolekit_store_seconds_count{operation="put"}', 5),
        ('consolekit_validator_seconds_count{validator="own"}', 6),
        ('consolekit_sockets{kind="server"}', 1),
        ("consolekit_log_lines_lost_total", 0),
        ('consolekit_workers{state="serving"}', 1),
        ("consolekit_workers_died_total", 0),
    ],
)
def test_a_figure_as_prometheus_has_it(busy: Rig, expression: str, value: float) -> None:
    busy.prometheus.until(expression, value)


PANELS = dashboard(DASHBOARD)


@pytest.mark.parametrize("number", range(len(PANELS)), ids=lambda number: f"{number}-{PANELS[number][0]}")
def test_every_expression_of_the_dashboard_gives_data(busy: Rig, number: int) -> None:
    _, expression, legend = PANELS[number]
    assert busy.prometheus.numbers(expression)
    wanted = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert all(wanted <= labels.keys() for labels, _ in busy.prometheus.query(expression))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_what_every_alert_compares_gives_data(busy: Rig, rule: dict[str, str]) -> None:
    found = COMPARED.fullmatch(rule["expr"].strip())
    assert found
    assert busy.prometheus.numbers(found["left"])


def test_no_alert_is_in_error_and_none_comes_up_at_once(busy: Rig) -> None:
    rules = {rule["name"]: rule for rule in busy.prometheus.rules()}
    assert set(rules) == {rule["alert"] for rule in RULES}
    assert {name: rule.get("lastError", "") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert [name for name, rule in rules.items() if rule["state"] == "firing"] == []


def families() -> set[str]:
    registry = CollectorRegistry()
    sources = Sources(certificates=lambda: {"proxy": 0.0})
    Metrics(
        [ConsoleKey("vnc", "novnc")], registry=registry, sources=sources, providers=["a"], validators=["b"]
    )
    ProcessCollector(registry=registry)
    own = ParentFigures(serving=int, leaving=int).collect()
    return {sample.name for family in (*registry.collect(), *own) for sample in family.samples}


def test_dashboard_and_alerts_name_metrics_that_there_are() -> None:
    text = " ".join([expression for _, expression, _ in PANELS] + [rule["expr"] for rule in RULES])
    named = set(re.findall(r"\b(?:consolekit|process)_\w+", text))
    assert len(named) > 20
    assert named - families() == set()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    document = json.loads(DASHBOARD.read_text())
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [
        (x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert {variable["name"] for variable in document["templating"]["list"]} == {
        "datasource",
        "job",
        "instance",
    }


# ---- when they come up


def test_promtool_takes_the_rules() -> None:
    promtool = require("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


JOB = 'job="consolekit",instance="a:6082"'
PAIR = f'{JOB},protocol="vnc",type="novnc"'
#: By alert: series that bring it up, and the same ones as they usually are.
SERIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "ConsolekitStoreAway": (
        {f"consolekit_revocations_up{{{JOB}}}": "0x60"},
        {f"consolekit_revocations_up{{{JOB}}}": "1x60"},
    ),
    "ConsolekitProviderFails": (
        {
            f'consolekit_provider_failures_total{{{JOB},provider="lab"}}': "0+3x60",
            f'consolekit_provider_seconds_count{{{JOB},provider="lab"}}': "0+10x60",
        },
        {
            f'consolekit_provider_failures_total{{{JOB},provider="lab"}}': "0+1x60",
            f'consolekit_provider_seconds_count{{{JOB},provider="lab"}}': "0+10x60",
        },
    ),
    "ConsolekitServersFail": (
        {
            f"consolekit_connect_failures_total{{{PAIR}}}": "0+1x60",
            f"consolekit_handshake_failures_total{{{PAIR}}}": "0+2x60",
            f"consolekit_connect_seconds_count{{{PAIR}}}": "0+10x60",
        },
        {
            f"consolekit_connect_failures_total{{{PAIR}}}": "0+1x60",
            f"consolekit_handshake_failures_total{{{PAIR}}}": "0x60",
            f"consolekit_connect_seconds_count{{{PAIR}}}": "0+10x60",
        },
    ),
    "ConsolekitOpensSlowly": (
        {
            f'consolekit_open_seconds_bucket{{{JOB},le="5"}}': "0+9x60",
            f'consolekit_open_seconds_bucket{{{JOB},le="10"}}': "0+10x60",
            f'consolekit_open_seconds_bucket{{{JOB},le="+Inf"}}': "0+10x60",
        },
        {
            f'consolekit_open_seconds_bucket{{{JOB},le="5"}}': "0+10x60",
            f'consolekit_open_seconds_bucket{{{JOB},le="10"}}': "0+10x60",
            f'consolekit_open_seconds_bucket{{{JOB},le="+Inf"}}': "0+10x60",
        },
    ),
    "ConsolekitLoopLate": (
        {
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="0.25"}}': "0+100x60",
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="0.5"}}': "0+120x60",
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="+Inf"}}': "0+120x60",
        },
        {
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="0.25"}}': "0+120x60",
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="0.5"}}': "0+120x60",
            f'consolekit_loop_lag_seconds_bucket{{{JOB},le="+Inf"}}': "0+120x60",
        },
    ),
    "ConsolekitFull": (
        {
            f'consolekit_refusals_total{{{JOB},code="limit_reached"}}': "0+2x60",
            f'consolekit_connections_refused_total{{{JOB},why="pending"}}': "0x60",
        },
        {
            f'consolekit_refusals_total{{{JOB},code="limit_reached"}}': "0x60",
            f'consolekit_connections_refused_total{{{JOB},why="tls"}}': "0+100x60",
        },
    ),
    "ConsolekitDescriptors": (
        {
            f"process_open_fds{{{JOB}}}": "900x60",
            f"process_max_fds{{{JOB}}}": "1000x60",
            f"consolekit_build_info{{{JOB}}}": "1x60",
            'process_open_fds{job="other",instance="b"}': "999x60",
            'process_max_fds{job="other",instance="b"}': "1000x60",
        },
        {
            f"process_open_fds{{{JOB}}}": "500x60",
            f"process_max_fds{{{JOB}}}": "1000x60",
            f"consolekit_build_info{{{JOB}}}": "1x60",
            'process_open_fds{job="other",instance="b"}': "999x60",
            'process_max_fds{job="other",instance="b"}': "1000x60",
        },
    ),
    "ConsolekitFault": (
        {
            f'consolekit_sessions_ended_total{{{PAIR},reason="internal"}}': "0x50 1x10",
            f'consolekit_refusals_total{{{JOB},code="internal"}}': "0x60",
        },
        {
            f'consolekit_sessions_ended_total{{{PAIR},reason="internal"}}': "1x60",
            f'consolekit_refusals_total{{{JOB},code="internal"}}': "0x60",
        },
    ),
    "ConsolekitWorkerDies": (
        {f"consolekit_workers_died_total{{{JOB}}}": "0x50 1x10"},
        {f"consolekit_workers_died_total{{{JOB}}}": "1x60"},
    ),
    "ConsolekitLogLost": (
        {f"consolekit_log_lines_lost_total{{{JOB}}}": "0+5x60"},
        {f"consolekit_log_lines_lost_total{{{JOB}}}": "5x60"},
    ),
    "ConsolekitCertificateEnds": (
        {f'consolekit_certificate_expiry_timestamp_seconds{{{JOB},listener="proxy"}}': "1000000x120"},
        {f'consolekit_certificate_expiry_timestamp_seconds{{{JOB},listener="proxy"}}': "9000000x120"},
    ),
}


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_an_alert_comes_up_when_it_should_and_else_not(alert: str, tmp_path: Path) -> None:
    promtool = require("promtool", "prometheus")
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    at = "100m" if alert == "ConsolekitCertificateEnds" else "55m"
    groups = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": at, "exp_samples": expected}],
        }
        for series, expected in zip(
            SERIES[alert], ([{"labels": f'{{alertname="{alert}"}}', "value": 1}], []), strict=True
        )
    ]
    file = tmp_path / "alerts_test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": groups}))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == str(rule["alert"]).lower()
    assert f"\n### {rule['alert']}\n" in (ROOT / page).read_text(encoding="utf-8")
