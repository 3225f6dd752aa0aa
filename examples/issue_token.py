"""A sealed token from another program: no call to consolekit, no store; a key file and joserfc are enough.

Run it: ``python examples/issue_token.py keys.json web-1 alice``; the token opens the console of web-1 once,
within a minute. The link is ``https://consoles.example.org/console/#token=TOKEN``.
"""

import json
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from joserfc import jwe, jwk


def issue(keys_file: str, server: str, subject: str) -> str:
    """Seal a token for one console."""
    keys = json.loads(Path(keys_file).read_text())["keys"]
    key = max((key for key in keys if key["state"] == "active"), key=lambda key: key["created"])
    now = datetime.now(UTC).timestamp()
    header = {"alg": "dir", "enc": "A256GCM", "kid": key["kid"], "typ": "consolekit+jwe"}
    console = {"protocol": "vnc", "type": "novnc", "server": server, "subject": subject, "provider": "lab"}
    times = {"iat": now, "exp": now + 60}
    claims = {"aud": "consoles.example.org", **times, "jti": uuid.uuid4().hex, "console": console}
    secret = jwk.OctKey.import_key({"kty": "oct", "k": key["k"]})
    return jwe.encrypt_compact(header, json.dumps(claims), secret)


if __name__ == "__main__":
    print(issue(*sys.argv[1:4]))
