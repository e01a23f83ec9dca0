"""What only AMP and its TLS have: strangers in plain text, logins with tokens, certificates. On real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from contracts.frames.amp import boxes_of, bytes_of
from contracts.frames.codec import pack
from contracts.frames.frames import Beat, Denied, Frame, Welcome
from contracts.operations.office_url import parse_office_url
from master_bridge.link.office import accounts, door
from master_bridge.link.settings import TLSSettings
from tests.transports.wires.door import Running, hello, next_frame, opened, run
from worker_agent.link.frames.amp import open_amp
from worker_agent.link.frames.wire import WireLost

PLAIN, SECURE = "amp://127.0.0.1:0?tls=off", "amp://127.0.0.1:0"


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_token_that_is_not_right_is_denied(make_door: Callable[..., Running], token: str | None) -> None:
    running = make_door(PLAIN)
    login = running.account()

    async def agent() -> Frame:
        wire = await opened(login.address)
        await wire.send(hello("agents", token))
        return await next_frame(wire)

    denied = run(agent())
    assert isinstance(denied, Denied)
    assert denied.part == "login"


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"AMQP\0\0\x09\x01",
        b"\0\1h\xff\xff" + b"x" * 65_535 + b"\0\1b\xff\xff" + b"x" * 65_535,
        b"".join(b"\0\2%02d\xff\xff" % number + b"x" * 65_535 for number in range(20)),
        bytes_of({b"h": b"{}"}),
        b"".join(bytes_of(box) for box in boxes_of(pack(Beat()))),
        bytes_of({b"h": b"[" * 4000}),
    ],
    ids=["http", "amqp", "long", "many-keys", "empty", "no-hello", "deep"],
)
def test_a_stranger_is_ended_before_it_costs_anything(make_door: Callable[..., Running], first: bytes) -> None:
    running = make_door(PLAIN)
    with socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) as stranger:
        try:
            stranger.sendall(first)
            while stranger.recv(65_536):
                pass
        except ConnectionError:
            pass
    assert not running.desk.joined_as
    run(running.logged_in(running.account()))


def test_who_does_not_log_in_is_told_so(make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LOGIN_TIMEOUT", 0.5)
    running = make_door(PLAIN, silence=1.0)
    with socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) as idle:
        heard = b""
        while piece := idle.recv(4096):
            heard += piece
    assert b"no login in time" in heard


class TestTLS:
    def test_a_certificate_is_made_once_and_pinned(self, make_door: Callable[..., Running], tmp_path: Path) -> None:
        running = make_door(SECURE)
        assert (tmp_path / "agents-tls.pem").stat().st_mode & 0o777 == 0o600
        run(running.logged_in(running.account()))
        again = make_door(SECURE)
        assert again.listener.fingerprint == running.listener.fingerprint

    def test_another_master_in_between_is_found_out(self, make_door: Callable[..., Running]) -> None:
        running = make_door(SECURE)
        address = running.address("agents", fingerprint="0" * 64)
        with pytest.raises(WireLost, match="somebody is in between"):
            run(open_amp(address, ssl.create_default_context(), 30.0))

    def test_without_a_fingerprint_an_authority_has_to_vouch(self, make_door: Callable[..., Running]) -> None:
        running = make_door(SECURE)
        address = parse_office_url(f"amps://agents@127.0.0.1:{running.listener.port}")
        with pytest.raises(WireLost, match="does not verify"):
            run(open_amp(address, ssl.create_default_context(), 30.0))

    def test_the_operators_own_certificate_and_clients_certificates(
        self, make_door: Callable[..., Running], tmp_path: Path
    ) -> None:
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1")
        client = authority.issue_cert("agents.invalid", common_name="agents")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        server.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
        tls = TLSSettings(ca=str(tmp_path / "ca.pem"), certificate=str(tmp_path / "server.pem"))
        running = make_door(SECURE, tls)
        accounts.add(running.path, "agents", certificate=True)
        accounts.add(running.path, "others", certificate=True)

        async def agent(user: str, *, shown: bool) -> Frame:
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            if shown:
                context.load_cert_chain(tmp_path / "client.pem")
            address = parse_office_url(f"amps://{user}@127.0.0.1:{running.listener.port}")
            wire = await opened(address, context)
            await wire.send(hello(user, None))
            return await next_frame(wire)

        assert isinstance(run(agent("agents", shown=True)), Welcome)
        assert isinstance(run(agent("others", shown=True)), Denied), "a certificate is its own account's only"
        assert isinstance(run(agent("agents", shown=False)), Denied)

    def test_plain_text_at_a_tls_port_says_so(self, make_door: Callable[..., Running]) -> None:
        running = make_door(SECURE)
        plain = parse_office_url(f"amp://agents@127.0.0.1:{running.listener.port}")

        async def agent() -> None:
            wire = await opened(plain)
            await wire.send(hello("agents", "token"))
            await wire.receive()

        with pytest.raises(WireLost):
            run(agent())
