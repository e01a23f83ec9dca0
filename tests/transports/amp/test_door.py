"""Who comes in by AMP; what becomes of strangers, floods, silence and slow readers. On real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from contracts.frames.amp import boxes_of, bytes_of
from contracts.frames.codec import FRAME_BODY_MAX, Packed, pack
from contracts.frames.frames import Beat, Bye, Carried, Denied, Frame, Say, Told, Welcome
from contracts.operations.office_url import parse_office_url
from contracts.topology import control_address
from master_bridge.link.office import accounts, door
from master_bridge.link.settings import TLSSettings
from tests.harness.waiting import wait_for
from tests.transports.amp.conftest import Running, hello, next_frame, opened, run
from worker_agent.link.frames.amp import AMPWire, open_amp
from worker_agent.link.frames.wire import WireLost

CARRIED = Carried(type="event", content_type="application/octet-stream")


async def _logged_in(running: Running, token: str) -> AMPWire:
    wire = await running.wire()
    await wire.send(hello("agents", token))
    assert isinstance(await next_frame(wire), Welcome)
    return wire


@pytest.mark.parametrize("url", ["amp://127.0.0.1:0?tls=off", "amp://127.0.0.1:0"])
def test_frames_of_every_size_go_there_and_back(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    token = running.account("agents")
    bodies = [b"", b"x", b"y" * 65_536, bytes(range(256)) * 4096, b"z" * FRAME_BODY_MAX]

    def echo(connection: int, frame: Frame, body: bytes) -> None:
        assert isinstance(frame, Say)
        told = Told(exchange="bb.control", key=frame.key, user="m", message=frame.message)
        running.door.send(connection, told, body)

    running.desk.behave = echo

    async def agent() -> list[tuple[str, bytes]]:
        wire = await running.wire()
        await wire.send(hello("agents", token))
        assert isinstance(await next_frame(wire), Welcome)
        for number, body in enumerate(bodies):
            await wire.send(pack(Say(number=number, to="events", key=str(number), message=CARRIED), body))
        heard = [await asyncio.wait_for(wire.receive(), 30) for _ in bodies]
        await wire.close()
        return [(json.loads(packed.header)["key"], packed.body) for packed in heard]

    assert run(agent()) == [(str(number), body) for number, body in enumerate(bodies)]
    wait_for(lambda: running.desk.left_by == [1], 30, "the door hears that the agent has left")


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (lambda token: hello("agents", "wrong"), "login"),
        (lambda token: hello("agents", None), "login"),
        (lambda token: hello("nobody", token), "login"),
        (lambda token: hello("agents", token, role="operator"), "login"),
        (lambda token: hello("agents", token, version=99), "version"),
        (lambda token: hello("agents", token, address=control_address("other", "i", "n")), "address"),
    ],
)
def test_a_login_that_is_not_right_is_denied_with_the_part_to_mend(
    make_door: Callable[..., Running], first: Callable[[str], Packed], part: str
) -> None:
    running = make_door()
    token = running.account("agents")

    async def agent() -> Frame:
        wire = await running.wire()
        await wire.send(first(token))
        denied = await next_frame(wire)
        with pytest.raises(WireLost):
            await next_frame(wire)
        return denied

    denied = run(agent())
    assert isinstance(denied, Denied)
    assert denied.part == part
    assert not running.desk.joined_as
    assert not running.desk.left_by


def test_what_the_office_refuses_is_told_and_nobody_joined(make_door: Callable[..., Running]) -> None:
    running = make_door()
    token = running.account("agents")
    running.desk.denied = Denied(part="full", reason="no room for more agents")

    async def agent() -> list[Frame]:
        wire = await running.wire()
        await wire.send(hello("agents", token))
        return [await next_frame(wire), await next_frame(wire)]

    assert run(agent())[-1] == running.desk.denied
    assert not running.desk.left_by


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
    running = make_door()
    with socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) as stranger:
        try:
            stranger.sendall(first)
            while stranger.recv(65_536):
                pass
        except ConnectionError:
            pass
    assert not running.desk.joined_as
    token = running.account("agents")
    run(_logged_in(running, token))


def test_a_flood_of_connections_without_login_keeps_nobody_out(
    make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "UNKNOWN_OF_HOST_MAX", 5)
    running = make_door()
    token = running.account("agents")
    idle = [socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) for _ in range(20)]
    run(_logged_in(running, token))
    assert len(running.door._unknown) <= 5
    for one in idle:
        one.close()


def test_who_does_not_log_in_is_ended(make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LOGIN_TIMEOUT", 0.5)
    running = make_door(silence=1.0)
    with socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) as idle:
        heard = b""
        while piece := idle.recv(4096):
            heard += piece
    assert b"no login in time" in heard


def test_beats_keep_a_connection_and_silence_ends_it(make_door: Callable[..., Running]) -> None:
    running = make_door(silence=1.5)
    token = running.account("agents")

    async def agent() -> list[Frame]:
        wire = await running.wire()
        await wire.send(hello("agents", token))
        welcome = await next_frame(wire)
        assert isinstance(welcome, Welcome)
        assert welcome.silence == 1.5
        heard: list[Frame] = []
        for _ in range(6):  # 3 s, twice the silence
            await wire.send(pack(Beat()))
            heard.append(await next_frame(wire))
        while not isinstance(heard[-1], Bye):
            heard.append(await next_frame(wire))
        return heard

    heard = run(agent())
    assert [frame.f for frame in heard[:6]] == ["beat"] * 6
    assert isinstance(heard[-1], Bye)
    assert "nothing was heard" in heard[-1].reason


def test_who_reads_too_slowly_is_ended_and_others_are_served(
    make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = make_door()
    token = running.account("agents")
    told = Told(exchange="bb.control", key="all", user="m", message=CARRIED)

    async def agents() -> None:
        slow, quick = await _logged_in(running, token), await _logged_in(running, token)
        for _ in range(30):
            await asyncio.to_thread(running.call, running.door.send, 1, told, b"x" * 1024 * 1024)
        await asyncio.to_thread(running.call, running.door.send, 2, told, b"for the quick one")
        assert isinstance(await next_frame(quick), Told)
        await slow.close()

    run(agents())
    assert 1 in running.desk.left_by
    assert 2 not in running.desk.left_by[:1]


def test_an_account_that_is_removed_is_cut_off(make_door: Callable[..., Running]) -> None:
    running = make_door(silence=3.0)
    token = running.account("agents")

    async def agent() -> str:
        wire = await running.wire()
        await wire.send(hello("agents", token))
        await next_frame(wire)
        accounts.remove(running.path, "agents")
        while True:
            frame = await next_frame(wire)
            await wire.send(pack(Beat()))
            if isinstance(frame, Bye):
                return frame.reason

    assert "its account was removed" in run(agent())


def test_a_frame_that_breaks_the_office_ends_its_sender_only(make_door: Callable[..., Running]) -> None:
    running = make_door()
    token = running.account("agents")

    def fail(connection: int, frame: Frame, body: bytes) -> None:
        raise RuntimeError("a bug")

    running.desk.behave = fail

    async def agents() -> Frame:
        victim = await _logged_in(running, token)
        other = await _logged_in(running, token)
        await victim.send(pack(Say(number=1, to="events", key="m", message=CARRIED)))
        frame = await next_frame(victim)
        await asyncio.to_thread(running.call, running.door.send, 2, Beat())
        assert isinstance(await next_frame(other), Beat)
        return frame

    assert isinstance(run(agents()), Bye)


class TestTLS:
    def test_a_certificate_is_made_once_and_pinned(self, make_door: Callable[..., Running], tmp_path: Path) -> None:
        running = make_door("amp://127.0.0.1:0")
        assert (tmp_path / "agents-tls.pem").stat().st_mode & 0o777 == 0o600
        token = running.account("agents")
        run(_logged_in(running, token))
        again = make_door("amp://127.0.0.1:0")
        assert again.listener.fingerprint == running.listener.fingerprint

    def test_another_master_in_between_is_found_out(self, make_door: Callable[..., Running]) -> None:
        running = make_door("amp://127.0.0.1:0")
        address = running.address("agents", fingerprint="0" * 64)
        with pytest.raises(WireLost, match="somebody is in between"):
            run(open_amp(address, ssl.create_default_context(), 30.0))

    def test_without_a_fingerprint_an_authority_has_to_vouch(self, make_door: Callable[..., Running]) -> None:
        running = make_door("amp://127.0.0.1:0")
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
        running = make_door("amp://127.0.0.1:0", tls)
        running.account("agents", certificate=True)
        running.account("others", certificate=True)

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
        running = make_door("amp://127.0.0.1:0")
        plain = parse_office_url(f"amp://agents@127.0.0.1:{running.listener.port}")

        async def agent() -> None:
            wire = await opened(plain, None)
            await wire.send(hello("agents", "token"))
            await wire.receive()

        with pytest.raises(WireLost):
            run(agent())
