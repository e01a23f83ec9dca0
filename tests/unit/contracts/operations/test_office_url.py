"""URLs of post offices: what is read of them, and what is said of those that cannot be used."""

from __future__ import annotations

import pytest

from contracts.operations import office_url
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


@pytest.mark.parametrize(
    ("url", "login", "host", "port", "user"),
    [
        ("ssh://buildbot@Master.example.org/builder7", "buildbot", "Master.example.org", 0, "builder7"),
        (" ssh://[fe80::1%25eth0]:2222/a%2Fb\n", None, "fe80::1%25eth0", 2222, "a/b"),
        ("ssh://ci/builder7", None, "ci", 0, "builder7"),
    ],
)
def test_an_agents_url_by_ssh(url: str, login: str | None, host: str, port: int, user: str) -> None:
    """Without a port ssh's own configuration has the word, and the host is written as it may stand there."""
    address = parse_office_url(url)
    assert (address.wire, address.login, address.host, address.port, address.user) == ("ssh", login, host, port, user)
    assert not address.secure
    assert is_office_url(url)


def test_where_an_agent_by_ssh_goes_is_shown() -> None:
    address = parse_office_url("ssh://buildbot@[::1]:2222/builder7")
    assert (address.listener, str(address)) == ("ssh://[::1]:2222", "ssh://[::1]:2222/builder7")
    assert parse_office_url("ssh://ci/builder7").listener == "ssh://ci"


def test_the_url_of_an_agent_that_is_reached() -> None:
    address = parse_office_url("stdio:builder7")
    assert (address.wire, address.user, address.listener, str(address)) == (
        "stdio", "builder7", "stdio:", "stdio:builder7",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ssh://buildbot@master", "names no account"),
        ("ssh://buildbot@master/", "names no account"),
        ("ssh:///builder7", "no host"),
        ("ssh://master:x/builder7", "no port"),
        ("ssh://a:secret@master/builder7", "uses keys"),
        ("ssh://-oProxyCommand=x/builder7", "cannot be given to ssh"),
        ("ssh://-l@master/builder7", "cannot be given to ssh"),
        ("ssh://a%24%28x%29@master/builder7", "cannot be given to ssh"),
        ("ssh://master/builder7?x=1", "behind the account"),
        ("ssh://master/a b", "space"),
        (f"ssh://master/{'u' * 300}", "shorter"),
        ("sshs://master/builder7", "begins otherwise"),
        ("stdio:", "names no account"),
    ],
)
def test_an_agents_url_by_ssh_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(BadURL, match=problem) as raised:
        parse_office_url(url)
    assert "secret" not in str(raised.value)


KEY, SERVER_KEY = "0A" * 32, "cd" * 32


def test_an_agents_url_for_zeromq() -> None:
    address = parse_office_url(f"zmq://agents:{KEY}@master?serverkey={SERVER_KEY}")
    assert (address.wire, address.host, address.port, address.user) == ("zmq", "master", 9991, "agents")
    assert (address.token, address.key, address.server_key) == (None, "0a" * 32, SERVER_KEY)
    assert address.listener == "zmq://master:9991"
    assert KEY.lower() not in f"{address!r} {address}"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"zmq://agents@master?serverkey={SERVER_KEY}", "the account's key"),
        (f"zmq://agents:{KEY[1:]}@master?serverkey={SERVER_KEY}", "the account's key"),
        (f"zmq://agents:{KEY}@master", "serverkey is not 64"),
        (f"zmq://agents:{KEY}@master?fingerprint={PIN}", "only serverkey"),
        (f"zmqs://agents:{KEY}@master?serverkey={SERVER_KEY}", "leave out the s"),
    ],
)
def test_an_agents_url_for_zeromq_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(BadURL, match=problem) as raised:
        parse_office_url(url)
    assert KEY[1:] not in str(raised.value)


def test_zeromq_where_its_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office_url, "find_spec", lambda name: None)
    with pytest.raises(BadURL, match=r"pyzmq, which extra 'zmq' has: pip install '.*\[zmq\]'"):
        parse_listen_url("zmq://0.0.0.0")


def test_a_refusal_never_repeats_the_token() -> None:
    with pytest.raises(BadURL) as raised:
        parse_office_url("amps://a:hunter2@host/vhost?x=1")
    assert "hunter2" not in str(raised.value)


def test_a_masters_url() -> None:
    assert parse_listen_url("amp://0.0.0.0:9990") == ListenAddress(wire="amp", host="0.0.0.0", port=9990, tls=True)
    assert parse_listen_url("amps://[::]").listener == "amps://[::]:9990"
    assert not parse_listen_url("amp://localhost:0?tls=off").tls
    assert parse_listen_url("ssh:").listener == "ssh:"
    assert parse_listen_url("zmq://0.0.0.0").listener == "zmq://0.0.0.0:9991"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("amp://user@0.0.0.0", "accounts are made by"),
        ("amp://0.0.0.0?tls=off", "127.0.0.1, ::1 and localhost only"),
        ("amp://127.0.0.1?tls=no", "on or off"),
        ("amps://127.0.0.1?tls=off", "opposite"),
        ("amp://127.0.0.1?fingerprint=1", "only tls"),
        ("udp://127.0.0.1", "begins otherwise"),
        ("ssh://127.0.0.1", "nothing behind it"),
        ("stdio:x", "nothing behind it"),
        ("zmqs://127.0.0.1", "always encrypted"),
        ("zmq://127.0.0.1?tls=off", "nothing can stand"),
        ("zmq://a@127.0.0.1", "user"),
    ],
)
def test_a_masters_url_that_cannot_be_used(url: str, problem: str) -> None:
    with pytest.raises(BadURL, match=problem):
        parse_listen_url(url)


def test_the_scheme_tells_which_way_is_meant() -> None:
    assert is_office_url(" amps://a@host")
    assert is_office_url("amp://0.0.0.0")
    assert not is_office_url("amqps://a@host")
