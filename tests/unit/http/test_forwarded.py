"""http.forwarded: whose address counts, whatever a client has written into the header before our proxies."""

from __future__ import annotations

import pytest

from consolekit.core.networks import NOWHERE, Networks
from consolekit.http.forwarded import viewer_address

TRUSTED = Networks.parse(["10.0.0.0/8", "fd00::/8"])
PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "viewer"),
    [
        ([], PROXY),
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1 "], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1,192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1", "10.0.0.2,fd00::1"], "192.0.2.1"),
        (["nonsense, , 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:51234"], "192.0.2.1"),
        (["[2001:db8::1]:51234"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["x" * 8000 + ",192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1" + ",10.0.0.2" * 16], "192.0.2.1"),
    ],
)
def test_a_trusted_proxy_is_believed_up_to_whom_it_saw(forwarded, viewer):
    assert viewer_address(PROXY, forwarded, TRUSTED) == viewer


@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "fe80::1", "0.0.0.0", ""])
@pytest.mark.parametrize("forwarded", [["192.0.2.1"], ["10.0.0.1"], ["nonsense"], []])
def test_nobody_else_is(peer, forwarded):
    assert viewer_address(peer, forwarded, TRUSTED) == peer
    assert viewer_address(peer, forwarded, NOWHERE) == peer


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "192.0.2.1,",
        "unknown",
        "_hidden",
        "192.0.2.1, 10.0.0.2, s3cret",
        "192.0.2.01",
        "192.0.2.1:",
        "192.0.2.1:123456",
        "[192.0.2.1",
        "2001:db8::1]:80",
        "fe80::1%eth0",
        "192.0.2.1\t10.0.0.2",
        "1" * 8000,
        "192.0.2.1" + ",10.0.0.2" * 17,
    ],
    ids=lambda text: text[:30] or "-",
)
def test_a_trusted_proxy_that_names_no_address_is_refused(text):
    with pytest.raises(ValueError) as caught:  # its words are for nobody: the answer is a bare 400
        viewer_address(PROXY, [text], TRUSTED)
    assert "s3cret" not in str(caught.value)
