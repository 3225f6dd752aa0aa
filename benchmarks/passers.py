"""What only passes bytes on: two load balancers, a bridge in Node, and nothing at all in between.

The load balancers pass websockets through to a console server that speaks websocket itself: no token, no
frames to take apart. No VNC server does; they are here as the floor, not as alternatives.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from peers import Peer, Place

_NODE = Path(__file__).parent / "node"
_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
_MANY = 9000


def _version(program: str, option: str) -> str:
    """What it answers when asked for its version; empty if it is not installed."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        return ""
    answer = subprocess.run([found, option], capture_output=True, text=True, check=True)
    return answer.stdout + answer.stderr


class Passer(Peer):
    """One that reaches a console server that speaks websocket, whatever it is asked for."""

    consoles = ("raw", "websocket", "secure")
    target: ClassVar[dict[str, str]] = {"raw": "websocket", "websocket": "websocket", "secure": "secure"}

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        return ["--url", f"{place.authority}/{self.target[console]}"]


class Haproxy(Passer):
    """HAProxy in HTTP mode, one thread."""

    name = "haproxy"

    def version(self) -> str:
        answer = _version("haproxy", "-v")
        return answer.split()[2] if answer else ""

    def command(self, place: Place) -> list[str]:
        tls = f"ssl crt {place.cert}" if place.cert else ""
        config = f"""
global
  nbthread 1
  maxconn {_MANY}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend viewers
  bind 127.0.0.1:{place.port} backlog 4096 {tls}
  use_backend secure if {{ path /secure }}
  default_backend websocket
backend websocket
  server console 127.0.0.1:{place.targets["websocket"]}
backend secure
  server console 127.0.0.1:{place.targets["secure"]} ssl verify required ca-file {place.trusted}
"""
        program = shutil.which("haproxy", path=_PATH)
        return [str(program), "-db", "-f", str(place.write("haproxy.cfg", config))]


class Nginx(Passer):
    """nginx as its documentation shows it for websockets, one worker."""

    name = "nginx"

    def version(self) -> str:
        answer = _version("nginx", "-v")
        return answer.strip().rpartition("/")[2]

    def command(self, place: Place) -> list[str]:
        cert = f"ssl_certificate {place.cert}; ssl_certificate_key {place.cert};" if place.cert else ""
        config = f"""
daemon off;
master_process off;
pid {place.directory}/nginx.pid;
error_log stderr;
worker_rlimit_nofile {2 * _MANY};
events {{ worker_connections {2 * _MANY}; }}
http {{
  access_log {place.directory}/access.log;
  client_body_temp_path {place.directory};
  proxy_temp_path {place.directory};
  fastcgi_temp_path {place.directory};
  uwsgi_temp_path {place.directory};
  scgi_temp_path {place.directory};
  proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection "upgrade";
  proxy_read_timeout 1h;
  proxy_send_timeout 1h;
  server {{
    listen 127.0.0.1:{place.port} backlog=4096 {"ssl" if place.cert else ""};
    {cert}
    location / {{ proxy_pass http://127.0.0.1:{place.targets["websocket"]}; }}
    location /secure {{
      proxy_pass https://127.0.0.1:{place.targets["secure"]};
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {place.trusted};
      proxy_ssl_name localhost;
    }}
  }}
}}
"""
        program = shutil.which("nginx", path=_PATH)
        return [str(program), "-e", "stderr", "-c", str(place.write("nginx.conf", config))]


class NodeBridge(Peer):
    """``node/bridge.js``: 30 lines over the package ``ws``, as many portals have them."""

    name = "node"
    consoles = ("raw",)

    def version(self) -> str:
        package, node = _NODE / "node_modules" / "ws" / "package.json", shutil.which("node")
        if node is None or not package.is_file():
            return ""
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
        return f"{answer.stdout.strip().removeprefix('v')}, ws {json.loads(package.read_text())['version']}"

    def command(self, place: Place) -> list[str]:
        words = ["node", str(_NODE / "bridge.js"), str(place.port), str(place.targets["raw"])]
        return [*words, str(place.cert)] if place.cert else words

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        return ["--url", f"{place.authority}/"]


class Direct(Passer):
    """Nothing in between: what viewers and console servers alone reach. Its process does nothing."""

    name = "direct"

    def version(self) -> str:
        return "no proxy"

    def command(self, place: Place) -> list[str]:
        return [sys.executable, "-c", "import signal; signal.pause()"]

    def port(self, place: Place) -> int:
        return place.targets["secure" if place.cert else "websocket"]

    def viewer(self, place: Place, console: str, connections: int) -> list[str]:
        scheme = "wss" if place.cert else "ws"
        return ["--url", f"{scheme}://127.0.0.1:{self.port(place)}/"]
