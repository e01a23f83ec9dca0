"""What holds at a master's door whatever the wire: who comes in; floods, silence, slow readers. On real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

import pytest

from contracts.frames.codec import FRAME_BODY_MAX, FRAME_HEADER_MAX, Packed, pack
from contracts.frames.frames import Beat, Bye, Carried, Denied, Frame, Say, Told, Welcome
from contracts.topology import control_address
from master_bridge.link.office import accounts, door
from tests.harness.waiting import wait_for
from tests.transports.wires.door import URLS, Login, Running, goodbye, next_frame, opened, run
from worker_agent.link.frames.wire import FrameWire, WireLost

CARRIED = Carried(type="event", content_type="application/octet-stream")
OPEN = tuple(url for url in URLS if url != "amp://127.0.0.1:0")  # TLS is between Twisted and its sockets

every_wire = pytest.mark.parametrize("url", URLS)
open_wires = pytest.mark.parametrize("url", OPEN)


async def ended(wire: FrameWire) -> None:
    """Once the master has ended this connection, whether or not it says so."""
    with contextlib.suppress(WireLost):
        while isinstance(await next_frame(wire), Bye):
            pass
        pytest.fail("it is not ended")


@every_wire
def test_frames_of_every_size_go_there_and_back(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    login = running.account()
    bodies = [b"", b"x", b"y" * 65_536, bytes(range(256)) * 4096, b"z" * FRAME_BODY_MAX]

    def echo(connection: int, frame: Frame, body: bytes) -> None:
        assert isinstance(frame, Say)
        told = Told(exchange="bb.control", key=frame.key, user="m", message=frame.message)
        running.door.send(connection, told, body)

    running.desk.behave = echo

    async def agent() -> list[tuple[str, bytes]]:
        wire = await running.logged_in(login)
        for number, body in enumerate(bodies):
            await wire.send(pack(Say(number=number, to="events", key=str(number), message=CARRIED), body))
        heard = [await asyncio.wait_for(wire.receive(), 30) for _ in bodies]
        await wire.close()
        return [(json.loads(packed.header)["key"], packed.body) for packed in heard]

    assert run(agent()) == [(str(number), body) for number, body in enumerate(bodies)]
    wait_for(lambda: running.desk.left_by == [1], 30, "the door hears that the agent has left")


@open_wires
@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"user": "nobody"}, "login"),
        ({"user": "others", "address": control_address("others", "i", "n")}, "login"),
        ({"role": "operator"}, "login"),
        ({"version": 99}, "version"),
        ({"address": control_address("other", "i", "n")}, "address"),
    ],
)
def test_a_login_that_is_not_right_is_denied_with_the_part_to_mend(
    make_door: Callable[..., Running], url: str, other: dict[str, object], part: str
) -> None:
    running = make_door(url)
    login = running.account()
    running.account("others")

    async def agent() -> Frame:
        wire = await opened(login.address)
        await wire.send(login.hello(**other))
        denied = await next_frame(wire)
        with pytest.raises(WireLost):
            await next_frame(wire)
        return denied

    denied = run(agent())
    assert isinstance(denied, Denied)
    assert denied.part == part
    assert not running.desk.joined_as
    assert not running.desk.left_by


@open_wires
def test_what_the_office_refuses_is_told_and_nobody_joined(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    login = running.account()
    running.desk.denied = Denied(part="full", reason="no room for more agents")

    async def agent() -> list[Frame]:
        wire = await opened(login.address)
        await wire.send(login.hello())
        return [await next_frame(wire), await next_frame(wire)]

    assert run(agent())[-1] == running.desk.denied
    assert not running.desk.left_by


@open_wires
def test_a_flood_of_connections_without_login_keeps_nobody_out(
    make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(door, "UNKNOWN_OF_HOST_MAX", 5)
    running = make_door(url)
    login = running.account()
    idle = [running.stranger() for _ in range(20)]
    try:
        run(running.logged_in(login))
        assert len(running.door._unknown) <= 5
    finally:
        for one in idle:
            one.close()


@open_wires
def test_who_does_not_log_in_is_ended(
    make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Whether it is silent from the beginning or from its handshake on."""
    monkeypatch.setattr(door, "LOGIN_TIMEOUT", 0.5)
    running = make_door(url, silence=1.0)
    login = running.account()

    async def agent() -> None:
        wire = await opened(login.address)
        await ended(wire)

    with running.stranger() as idle:
        run(agent())
        with contextlib.suppress(ConnectionResetError):
            while idle.recv(4096):
                pass


@open_wires
def test_more_than_may_come_before_a_login_ends_its_sender(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    login = running.account()

    async def agent() -> None:
        wire = await opened(login.address)
        with contextlib.suppress(WireLost):
            await wire.send(Packed(b"x" * 100_000))
        await ended(wire)

    run(agent())
    assert not running.desk.joined_as


@open_wires
@pytest.mark.parametrize(
    "packed",
    [
        Packed(b"nonsense"),
        Packed(b""),
        Packed(b"[" * FRAME_HEADER_MAX),
        Packed(b"x" * (FRAME_HEADER_MAX + 1)),
        Packed(b"{}", b"x" * (FRAME_BODY_MAX + 1)),
        Packed(pack(Beat()).header, b"a beat carries nothing"),
    ],
    ids=["no-json", "empty", "deep", "long-header", "long-body", "body"],
)
def test_what_is_no_frame_ends_its_sender_only(make_door: Callable[..., Running], url: str, packed: Packed) -> None:
    running = make_door(url)
    login, other = running.account(), running.account("others")

    async def agents() -> None:
        bystander = await running.logged_in(other)
        wire = await running.logged_in(login)
        with contextlib.suppress(WireLost):
            await wire.send(packed)
        await ended(wire)
        await asyncio.to_thread(running.call, running.door.send, 1, Beat())
        assert isinstance(await next_frame(bystander), Beat)

    run(agents())
    wait_for(lambda: 2 in running.desk.left_by, 30, "the office hears of it")


@open_wires
def test_beats_keep_a_connection_and_silence_ends_it(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url, silence=1.5)
    login = running.account()

    async def agent() -> list[Frame]:
        wire = await opened(login.address)
        await wire.send(login.hello())
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


@open_wires
def test_who_reads_too_slowly_is_ended_and_others_are_served(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    login = running.account()
    told = Told(exchange="bb.control", key="all", user="m", message=CARRIED)

    async def agents() -> None:
        slow, quick = await running.logged_in(login), await running.logged_in(login)
        for _ in range(30):
            await asyncio.to_thread(running.call, running.door.send, 1, told, b"x" * 1024 * 1024)
        await asyncio.to_thread(running.call, running.door.send, 2, told, b"for the quick one")
        assert isinstance(await next_frame(quick), Told)
        await slow.close()

    run(agents())
    assert 1 in running.desk.left_by
    assert 2 not in running.desk.left_by[:1]


@open_wires
@pytest.mark.parametrize("how", ["removed", "renewed"])
def test_an_account_that_is_removed_or_renewed_is_cut_off(
    make_door: Callable[..., Running], url: str, how: str
) -> None:
    if (url, how) == ("ssh:", "renewed"):
        return  # a key of ssh stands in authorized_keys, and is sshd's to refuse
    running = make_door(url, silence=3.0)
    login = running.account()

    async def agent() -> str:
        wire = await opened(login.address)
        await wire.send(login.hello())
        await next_frame(wire)
        if how == "removed":
            accounts.remove(running.path, "agents")
        else:
            running.account()
        while True:
            frame = await next_frame(wire)
            if isinstance(frame, Bye):
                return frame.reason
            with contextlib.suppress(WireLost):  # it may have ended, and said why
                await wire.send(pack(Beat()))

    assert "its account was removed" in run(agent())


@open_wires
def test_a_frame_that_breaks_the_office_ends_its_sender_only(make_door: Callable[..., Running], url: str) -> None:
    running = make_door(url)
    login = running.account()

    def fail(connection: int, frame: Frame, body: bytes) -> None:
        raise RuntimeError("a bug")

    running.desk.behave = fail

    async def agents() -> Frame:
        victim = await running.logged_in(login)
        other = await running.logged_in(login)
        await victim.send(pack(Say(number=1, to="events", key="m", message=CARRIED)))
        frame = await next_frame(victim)
        await asyncio.to_thread(running.call, running.door.send, 2, Beat())
        assert isinstance(await next_frame(other), Beat)
        return frame

    assert isinstance(run(agents()), Bye)


@open_wires
def test_what_an_agent_says_before_it_ends_is_heard_before_it_has_left(
    make_door: Callable[..., Running], url: str
) -> None:
    running = make_door(url)
    login = running.account()
    order: list[object] = []
    running.desk.behave = lambda connection, frame, body: order.append(frame.f)
    left = running.desk.left

    def leave(connection: int, *, died: bool = False) -> None:
        order.append("left")
        left(connection, died=died)

    running.desk.left = leave  # type: ignore[method-assign]  # of this test's desk

    async def agent() -> None:
        wire = await running.logged_in(login)
        for number in range(50):
            await wire.send(pack(Say(number=number, to="events", key="m", message=CARRIED), b"x" * 100_000))
        await goodbye(wire)
        await wire.close()

    run(agent())
    wait_for(lambda: running.desk.left_by, 30, "the office hears that it has left")
    assert order == ["say"] * 50 + ["left"]


@open_wires
def test_many_agents_at_once(make_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(door, "UNKNOWN_OF_HOST_MAX", 100)
    running = make_door(url)
    logins = [running.account(f"agent-{number}") for number in range(60)]

    async def agent(login: Login) -> None:
        wire = await running.logged_in(login)
        await wire.send(pack(Say(number=1, to="events", key=login.user, message=CARRIED), login.user.encode()))
        await goodbye(wire)
        await wire.close()

    async def agents() -> None:
        await asyncio.gather(*map(agent, logins))

    run(agents())
    wait_for(lambda: len(running.desk.left_by) == 60, 30, "all have left")
    said = {frame.key: body.decode() for _, frame, body in running.desk.frames if isinstance(frame, Say)}
    assert said == {login.user: login.user for login in logins}
    assert not running.door._visitors
