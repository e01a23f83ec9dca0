"""What only ZeroMQ has: strangers, keys, messages without end, and libzmq's own ways. On real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from zmq.utils import z85

from contracts.frames.codec import FRAME_MAX, pack
from contracts.frames.frames import Beat, Carried, Say
from contracts.operations.office_url import parse_office_url
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.door import AddressTaken
from master_bridge.link.office.zeromq.curve import KEY_FILE, new_pair, server_keys
from master_bridge.link.office.zeromq.peer import greeting_problem
from master_bridge.link.office.zeromq.socket_folder import FOLDER, SocketFolder
from tests.harness.waiting import wait_for
from tests.transports.wires.door import Login, Running, hello, next_frame, opened, run
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.frames.zeromq import open_zmq

URL = "zmq://127.0.0.1:0"
CARRIED = Carried(type="event", content_type="application/octet-stream")
NULL = b"\xff" + bytes(8) + b"\x7f" + b"\3\0" + b"NULL".ljust(20, b"\0") + bytes(32)


@pytest.fixture
def dealer() -> Iterator[Callable[..., Any]]:
    """Makes DEALERs of libzmq as anybody can, with the keys of an account."""
    context: zmq.Context[Any] = zmq.Context()
    sockets: list[Any] = []

    def make(login: Login, **options: Any) -> Any:
        made: Any = context.socket(zmq.DEALER)
        sockets.append(made)
        secret = z85.encode(bytes.fromhex(login.address.key))
        made.curve_serverkey = bytes.fromhex(login.address.server_key)
        made.curve_secretkey, made.curve_publickey = secret, zmq.curve_public(secret)
        made.sndtimeo = made.rcvtimeo = 30_000
        for name, value in options.items():
            setattr(made, name, value)
        made.connect(f"tcp://127.0.0.1:{login.address.port}")
        return made

    yield make
    for made in sockets:
        made.close(linger=0)
    context.term()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"AMQP\0\0\x09\x01",
        b"\xff" + bytes(8) + b"\x7e" + bytes(54),
        b"\xff" + bytes(8) + b"\x7f" + b"\1" + bytes(53),
        NULL,
        NULL.replace(b"NULL\0", b"CURVE") + b"x" * 100_000,
        NULL.replace(b"NULL\0", b"CURVE") + b"\6\0\0\0\0\0\xff\xff\xff" + b"x" * 5000,
    ],
    ids=["http", "amqp", "unversioned", "old", "null", "flood", "long"],
)
def test_a_stranger_is_ended_before_it_costs_anything(make_door: Callable[..., Running], first: bytes) -> None:
    running = make_door(URL)
    with socket.create_connection(("127.0.0.1", running.listener.port), timeout=30) as stranger:
        try:
            stranger.sendall(first)
            while stranger.recv(65_536):
                pass
        except ConnectionError:
            pass
    assert not running.desk.joined_as
    run(running.logged_in(running.account()))


def test_who_is_slow_with_its_first_bytes_comes_in_all_the_same(make_door: Callable[..., Running]) -> None:
    """A proxy between the two, which hands on a byte at a time."""
    running = make_door(URL)
    login = running.account()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", running.listener.port)
        await asyncio.gather(pump(reader, outer), pump(inner, writer), return_exceptions=True)

    async def agent() -> None:
        proxy = await asyncio.start_server(between, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        address = parse_office_url(
            f"zmq://agents:{login.address.key}@127.0.0.1:{port}?serverkey={login.address.server_key}"
        )
        wire = await running.logged_in(Login("agents", address, None))
        await wire.close()
        proxy.close()

    run(agent())


class TestKeys:
    def test_the_masters_is_made_once(self, make_door: Callable[..., Running], tmp_path: Path) -> None:
        running = make_door(URL)
        assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
        assert make_door(URL).listener.server_key == running.listener.server_key
        assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_FILE, FOLDER], "nothing else is left there"

    @pytest.mark.parametrize(("text", "mode"), [("", 0o600), ("x" * 64, 0o600), ("ä", 0o600), ("0a" * 32, 0o644)])
    def test_one_that_cannot_be_used_is_told(self, tmp_path: Path, text: str, mode: int) -> None:
        path = tmp_path / KEY_FILE
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(BadSettings, match=KEY_FILE):
            server_keys(tmp_path)

    def test_a_key_that_no_account_has_is_not_let_in(
        self, make_door: Callable[..., Running], capsys: pytest.CaptureFixture[str]
    ) -> None:
        running = make_door(URL)
        running.account()
        address = running.zmq_address("agents", new_pair()[1])
        with pytest.raises(WireLost, match="'agents' in: its key is of no account there"):
            run(open_zmq(address, 30.0))
        wait_for(lambda: "its key is of no account" in capsys.readouterr().out, 30, "the master's log says so")

    def test_another_master_in_between_is_found_out(self, make_door: Callable[..., Running]) -> None:
        running = make_door(URL)
        login = running.account()
        address = running.zmq_address("agents", login.address.key, server_key=new_pair()[0])
        with pytest.raises(WireLost, match="not the serverkey in the URL"):
            run(open_zmq(address, 30.0))

    def test_a_renewed_key_is_of_no_use_at_once(self, make_door: Callable[..., Running]) -> None:
        running = make_door(URL)
        before = running.account()
        run(running.logged_in(before))
        after = running.account()
        with pytest.raises(WireLost, match="no account"):
            run(open_zmq(before.address, 30.0))
        run(running.logged_in(after))


class TestHostile:
    """Accounts that were stolen, with a libzmq of their own."""

    @pytest.mark.parametrize("parts", [1, 3, 1000])
    def test_a_message_of_other_than_two_parts_ends_its_sender(
        self, make_door: Callable[..., Running], dealer: Callable[..., Any], parts: int
    ) -> None:
        running = make_door(URL)
        hostile = dealer(running.account(), reconnect_ivl=-1)
        hello_ = hello("agents", None)
        hostile.send_multipart([hello_.header, hello_.body])
        hostile.recv_multipart()
        hostile.send_multipart([b"x"] * parts)
        wait_for(lambda: running.desk.left_by, 30, "it is ended")

    def test_a_message_without_end_is_not_read(
        self, make_door: Callable[..., Running], dealer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """libzmq keeps all parts of a message until its last one, however many there are."""
        running = make_door(URL, silence=6.0)
        other = running.account("others")
        hostile = dealer(running.account(), reconnect_ivl=-1, sndtimeo=100, sndhwm=10)
        greeting = hello("agents", None)
        hostile.send_multipart([greeting.header, greeting.body])
        hostile.recv_multipart()
        (peer,) = running.listener.peers
        sent, most = 0, 0
        while not running.desk.left_by and sent < 40 * FRAME_MAX:
            try:
                hostile.send(b"x" * 1_000_000, zmq.SNDMORE)
                sent += 1_000_000
            except zmq.Again:
                pass
            most = max(most, peer._unread)
            if sent > 20 * FRAME_MAX:
                break
        assert most < FRAME_MAX + 300_000
        wait_for(lambda: running.desk.left_by, 60, "its silence ends it")
        run(running.logged_in(other))

    def test_a_flood_of_small_frames_is_bounded_and_heard(
        self, make_door: Callable[..., Running], dealer: Callable[..., Any]
    ) -> None:
        """Each frame is counted when it is read; what lies between is bounded by sockets that are full."""
        running = make_door(URL)
        hostile = dealer(running.account(), sndhwm=1000)
        greeting = hello("agents", None)
        hostile.send_multipart([greeting.header, greeting.body])
        hostile.recv_multipart()
        said = pack(Say(number=1, to="events", key="m", message=CARRIED), b"x" * 100)
        for _ in range(5000):
            hostile.send_multipart([said.header, said.body])
        wait_for(lambda: len(running.desk.frames) == 5000, 60, lambda: str(len(running.desk.frames)))

    def test_who_connects_again_by_itself_has_to_log_in_again(
        self, make_door: Callable[..., Running], dealer: Callable[..., Any]
    ) -> None:
        """libzmq does so, and would not tell: a lost link is lost, also with the same routing id."""
        running = make_door(URL)
        login = running.account()
        client = dealer(login, routing_id=b"mine", reconnect_ivl=50)
        greeting = login.hello()
        client.send_multipart([greeting.header, greeting.body])
        client.recv_multipart()
        running.call(next(iter(running.listener.peers)).cut)
        wait_for(lambda: running.desk.left_by == [1], 30, "it has left")
        beat = pack(Beat())
        client.send_multipart([beat.header, beat.body])
        assert b"the first frame is no hello" in client.recv_multipart()[0]
        wait_for(lambda: not running.desk.frames and len(running.desk.joined_as) == 1, 30, "nothing was believed")

    def test_a_stolen_key_speaks_for_its_own_account_only(
        self, make_door: Callable[..., Running], dealer: Callable[..., Any]
    ) -> None:
        running = make_door(URL)
        running.account("others")
        client = dealer(running.account(), routing_id=b"1")
        greeting = hello("others", None)
        client.send_multipart([greeting.header, greeting.body])
        assert b'"part":"login"' in client.recv_multipart()[0]


def test_a_frame_that_lies_unread_when_its_connection_is_ended_harms_nobody(make_door: Callable[..., Running]) -> None:
    """libzmq aborts the whole process where half of a message was taken before."""
    running = make_door(URL)
    login, other = running.account(), running.account("others")

    async def agents() -> None:
        victim, bystander = await running.logged_in(login), await running.logged_in(other)
        router = running.listener.router
        await asyncio.to_thread(running.call, running.reactor.removeReader, router._readers[0])
        for _ in range(3):
            await victim.send(pack(Say(number=1, to="events", key="m", message=CARRIED), b"x"))
        await asyncio.sleep(0.3)

        def end() -> None:
            running.door.send(1, Beat())
            running.door.disconnect(1, "for no reason")
            router.pump()
            running.reactor.addReader(router._readers[0])

        await asyncio.to_thread(running.call, end)
        await asyncio.to_thread(running.call, running.door.send, 2, Beat())
        assert isinstance(await next_frame(bystander), Beat)

    run(agents())


AGENT = """
import sys, zmq
from zmq.utils import z85
port, server, secret, hello = sys.argv[1:]
client = zmq.Context().socket(zmq.DEALER)
client.curve_serverkey = bytes.fromhex(server)
key = z85.encode(bytes.fromhex(secret))
client.curve_secretkey, client.curve_publickey = key, zmq.curve_public(key)
client.connect(f"tcp://127.0.0.1:{port}")
client.send_multipart([hello.encode(), b""])
client.recv_multipart()
sys.stdin.read()
"""


def test_a_killed_agent_is_noticed_at_once(make_door: Callable[..., Running]) -> None:
    running = make_door(URL, silence=300.0)
    login = running.account()
    address = login.address
    arguments = [str(address.port), address.server_key, address.key, login.hello().header.decode()]
    child = subprocess.Popen([sys.executable, "-c", AGENT, *arguments], stdin=subprocess.PIPE)
    try:
        wait_for(lambda: running.desk.joined_as, 60, "it is in")
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
    wait_for(lambda: running.desk.left_by == [1], 30, "its end is noticed")


def test_who_stops_the_master_side_leaves_nothing_open(make_door: Callable[..., Running]) -> None:
    """Sockets, threads of libzmq, files."""
    running = make_door(URL)
    login = running.account()

    def open_files() -> int:
        return psutil.Process().num_fds()

    def threads() -> int:
        """libzmq's, by their names: the reactor's pool starts some, too, and keeps them."""
        found = 0
        for number in os.listdir("/proc/self/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                found += Path(f"/proc/self/task/{number}/comm").read_text().startswith("ZMQbg")
        return found

    run(running.logged_in(login))
    wait_for(lambda: not running.listener.peers, 30, "it has left")
    folder = running.folder / FOLDER
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    before, threads_before = open_files(), threads()
    assert threads_before
    again = make_door(URL)
    for _ in range(5):
        run(again.logged_in(again.account()))
    again.close()
    wait_for(lambda: open_files() <= before, 30, lambda: f"{open_files()} for {before}")
    wait_for(lambda: threads() <= threads_before, 30, lambda: f"{threads()} threads for {threads_before}")
    running.close()
    assert list(folder.iterdir()) == []


MASTER = """
import sys, time
from unittest.mock import Mock
from pathlib import Path
from twisted.internet import reactor
from contracts.operations.office_url import parse_listen_url
from master_bridge.link.office.zeromq.listener import ZMQListener
from master_bridge.link.office.zeromq.meeting import Meeting

listener = ZMQListener(reactor, parse_listen_url("zmq://127.0.0.1:0"), Mock(), Path(sys.argv[1]))
listener.start()
Meeting(reactor, listener.socket_path(1), None, None)
print("up", flush=True)
time.sleep(600)
"""


def _killed(folder: Path, temporary: Path) -> None:
    """A master that listens, while it waits for the ROUTER at a local socket: killed."""
    arguments = [sys.executable, "-c", MASTER, str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}) as child:
        try:
            assert child.stdout is not None
            assert b"up\n" in iter(child.stdout.readline, b"")
        finally:
            child.kill()


def test_masters_that_are_killed_leave_nothing_that_piles_up(tmp_path: Path) -> None:
    """Nothing at all in the temporary folder; in a master's own at most what the last one left."""
    folder, temporary = tmp_path / ("long" * 30), tmp_path / "tmp"
    for path in (folder, temporary):
        path.mkdir()
    left = []
    for _ in range(2):
        _killed(folder, temporary)
        left.append([path.name for path in sorted(folder.rglob("*")) if path.name != KEY_FILE])
    assert list(temporary.iterdir()) == []
    assert [len(names) for names in left] == [2, 2]
    assert left[0] != left[1]


def test_sockets_of_who_lives_are_left_alone(tmp_path: Path) -> None:
    """By another one in the same folder, which has others; who comes when nobody is there removes them."""
    first = SocketFolder(tmp_path)
    left = Path(first.path(1))
    left.touch()
    second = SocketFolder(tmp_path)
    assert left.exists()
    assert second.path(1) != first.path(1)
    first.close()
    second.close()
    SocketFolder(tmp_path).close()
    assert not left.exists()


def test_a_path_is_short_where_no_system_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux, below a long name: a temporary folder, which is gone at the end."""
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    sockets = SocketFolder(folder)
    path = Path(sockets.path(1))
    assert len(str(path)) < 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    sockets.close()
    assert not path.parent.exists()


class TestAgentsSide:
    """What an agent says of a master that it cannot reach."""

    def address(self, port: int, host: str = "127.0.0.1") -> Any:
        return parse_office_url(f"zmq://a:{'0a' * 32}@{host}:{port}?serverkey={'0b' * 32}")

    def test_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            with pytest.raises(WireLost, match="refused"):
                run(open_zmq(self.address(taken.getsockname()[1]), 30.0))

    def test_who_listens_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            began = time.monotonic()
            with pytest.raises(WireLost, match="answer"):
                run(open_zmq(self.address(silent.getsockname()[1]), 1.0))
            assert time.monotonic() - began < 30

    def test_a_host_that_is_no_name(self) -> None:
        with pytest.raises(WireLost):
            run(open_zmq(self.address(9, "name.invalid"), 30.0))

    def test_the_address_that_answers_is_found(self, make_door: Callable[..., Running]) -> None:
        """localhost may be ::1 first, where nobody listens."""
        running = make_door(URL)
        login = running.account()
        address = parse_office_url(
            f"zmq://agents:{login.address.key}@localhost:{running.listener.port}?serverkey={login.address.server_key}"
        )
        run(opened(address))


def test_an_address_that_is_taken_is_told(make_door: Callable[..., Running]) -> None:
    running = make_door(URL)
    with pytest.raises(AddressTaken):
        make_door(f"zmq://127.0.0.1:{running.listener.port}")


@pytest.mark.parametrize("begun", [b"", b"\xff", NULL[:10], NULL[:11], NULL[:31]])
def test_the_beginning_of_a_greeting_is_none_that_is_refused(begun: bytes) -> None:
    assert greeting_problem(begun) is None
