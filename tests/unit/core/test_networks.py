"""core.networks: which address is of which network, and what is said of what is none."""

from __future__ import annotations

import pytest

from consolekit.core.networks import NOWHERE, Networks, canonical

OURS = Networks.parse(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_form_of_an_address(text: str, form: str) -> None:
    assert canonical(text) == form
    assert canonical(form) == form


@pytest.mark.parametrize("text", ["", "s3cret", "192.0.2.01", "192.0.2", "192.0.2.1/32", " ::1", "1" * 5000])
def test_no_address_is_told_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is no IP address$"):
        canonical(text)


@pytest.mark.parametrize(
    "address", ["10.0.0.0", "10.255.255.255", "192.0.2.7", "fd12::3", "::ffff:10.1.2.3", "fd00::1%eth0"]
)
def test_inside(address: str) -> None:
    assert address in OURS


@pytest.mark.parametrize(
    "address", ["11.0.0.1", "192.0.2.8", "fe80::1", "", "0.0.0.0", "10.0.0", "localhost"]
)
def test_outside(address: str) -> None:
    assert address not in OURS


def test_nowhere_holds_nothing_and_is_false() -> None:
    assert not NOWHERE
    assert "10.0.0.1" not in NOWHERE
    assert OURS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3cret", "entry 1 is no network"),
        ("10.0.0.1/8", "entry 1 is no network"),
        ("10.0.0.0/33", "entry 1 is no network"),
        ("", "entry 1 is no network"),
        ("0.0.0.0/0", "entry 1 is every address"),
        ("::/0", "entry 1 is every address"),
    ],
)
def test_what_is_no_network_is_told_by_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Networks.parse(["10.0.0.0/8", text])
    assert "s3cret" not in str(caught.value)
