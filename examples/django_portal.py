"""Example: a Django portal whose view sends the browser to a console; the gateway runs beside it.

Views block, so the kit is a ``BlockingConsoleKit``: one for the process, used by all of its threads. It is
made from the gateway's own configuration, so both have the same providers and the same token store::

    consolekit serve --config consolekit.toml &
    python examples/django_portal.py consolekit.toml
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django import setup
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.template import engines
from django.urls import path
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from consolekit import BlockingConsoleKit, Caller, ConsoleKit, ConsoleKitError
from consolekit.config.build import build_kit
from consolekit.config.load import load

OWNERS = {"web-1": "alice", "db-1": "bob"}


# [kit]
def make_kit() -> ConsoleKit:
    """Called with the first console, in the kit's own thread: not before the web server has forked."""
    return build_kit(load(Path(sys.argv[1])))


CONSOLES = BlockingConsoleKit(make_kit)


# [views]
def servers(request: HttpRequest) -> HttpResponse:
    """``GET /``: the user's servers."""
    user = "alice"  # request.user.username
    page = engines["django"].from_string(PAGE)
    own = [name for name, owner in OWNERS.items() if owner == user]
    return HttpResponse(page.render({"servers": own, "csrf_token": get_token(request)}, request))


@require_POST
def open_console(request: HttpRequest, server_id: str) -> HttpResponse:
    """``POST /servers/ID/console``: the portal decides who may, then sends the browser to a fresh link."""
    user = "alice"
    if OWNERS.get(server_id) != user:
        raise Http404
    wanted = {"protocol": "vnc", "type": "novnc"}
    try:
        link = CONSOLES.create(server_id, wanted, caller=Caller(name="portal"), subject=user)
    except ConsoleKitError as error:
        return HttpResponse(format_html("<p>{}</p>", error.title), status=error.status)
    return HttpResponseRedirect(link.url.reveal(), headers={"Cache-Control": "no-store"})


# [rest]
PAGE = """<!doctype html>
<meta charset="utf-8"><title>Acme servers</title>
<h1>Your servers</h1>
{% for name in servers %}
<form method="post" action="/servers/{{ name }}/console">
  <input type="hidden" name="csrfmiddlewaretoken" value="{{ csrf_token }}">
  {{ name }} <button>Console</button>
</form>
{% endfor %}
"""

urlpatterns = [path("", servers), path("servers/<str:server_id>/console", open_console)]


class Quiet(WSGIRequestHandler):
    """Logs no addresses."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Threads(ThreadingMixIn, WSGIServer):
    """A thread for each request, as most WSGI servers have."""

    daemon_threads = True


def main() -> None:
    """Serve on a port that the system chooses."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=secrets.token_urlsafe(50),
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    setup()
    with CONSOLES, make_server("127.0.0.1", 0, WSGIHandler(), Threads, Quiet) as server:
        print(f"open http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
