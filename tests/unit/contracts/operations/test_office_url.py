"""URLs of post offices: what is read of them, and what is said of those that cannot be used."""

from __future__ import annotations

import pytest

from contracts.operations.amqp_url import BadURL
from contracts.operations.office_url import ListenAddress, is_office_url, parse_listen_url, parse_office_url

PIN = "sha256:" + "ab" * 32


def test_an_agents_url() -> None:
    address = parse_office_url(f"amps://agents:s%40cret@[::1]?fingerprint={PIN}")
    assert (address.wire, address.host, address.port, address.user, address.token) == (
        "amp", "::1", 9990, "agents", "s@cret",
    )  # fmt: skip
    assert address.secure
    assert address.fingerprint == "ab" * 32
    assert address.listener == "amps://[::1]:9990"
    assert "cret" not in f"{address!r} {address}"


def test_fingerprints_are_read_as_openssl_shows_them() -> None:
    shown = "SHA256:" + ":".join(["AB"] * 32)
    assert parse_office_url(f"amps://a@host?fingerprint={shown}").fingerprint == "ab" * 32


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amqp://a@host", "begins otherwise"),
        ("amps://host", "names no user"),
        ("amps://a@", "no host"),
        ("amps://a@host:x", "no port"),
        ("amps://a@host:70000", "no port"),
        ("amps://a@host:0", "port 0"),
        ("amps://a@host/vhost", "behind host and port"),
        ("amps://a@host?pin=1", "only fingerprint"),
        (f"amps://a@host?fingerprint={PIN}&fingerprint={PIN}", "once"),
        ("amps://a@host?fingerprint=sha256:12", "64 hexadecimal"),
        (f"amp://a@host?fingerprint={PIN}", "write amps://"),
        ("amps://a b@host", "space"),
        (f"amps://{'u' * 300}@host", "shorter"),
    ],
)
def test_an_agents_url_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(BadURL, match=problem):
        parse_office_url(url)


def test_a_refusal_never_repeats_the_token() -> None:
    with pytest.raises(BadURL) as raised:
        parse_office_url("amps://a:hunter2@host/vhost?x=1")
    assert "hunter2" not in str(raised.value)


def test_a_masters_url() -> None:
    assert parse_listen_url("amp://0.0.0.0:9990") == ListenAddress(wire="amp", host="0.0.0.0", port=9990, tls=True)
    assert parse_listen_url("amps://[::]").listener == "amps://[::]:9990"
    assert not parse_listen_url("amp://localhost:0?tls=off").tls


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amp://user@0.0.0.0", "accounts are made by"),
        ("amp://0.0.0.0?tls=off", "127.0.0.1, ::1 and localhost only"),
        ("amp://127.0.0.1?tls=no", "on or off"),
        ("amps://127.0.0.1?tls=off", "opposite"),
        ("amp://127.0.0.1?fingerprint=1", "only tls"),
        ("zmq://127.0.0.1", "begins otherwise"),
    ],
)
def test_a_masters_url_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(BadURL, match=problem):
        parse_listen_url(url)


def test_the_scheme_tells_which_way_is_meant() -> None:
    assert is_office_url(" amps://a@host")
    assert is_office_url("amp://0.0.0.0")
    assert not is_office_url("amqps://a@host")
