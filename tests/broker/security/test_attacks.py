"""What a reviewer did with a stolen worker's account, on a real broker with a real master and a real agent.

mallory is enrolled for another column than alice. All that it sends is allowed by the broker; nothing comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from contracts import topology
from contracts.codec import HEADER, decode, encode
from contracts.messages import (
    AnyMessage,
    Catalogue,
    Event,
    Executing,
    Gone,
    Resume,
    RollCall,
    Start,
    Status,
    Steer,
    WorkerInfo,
)
from contracts.rabbitmq.product import introduced
from contracts.trust.signing import KEY_HEADER
from master_bridge.link.settings import parse_url
from tests.broker.agent.scripted_master import shell
from tests.broker.security.conftest import SecureNode
from tests.broker.security.test_stolen_account import channel_of
from tests.buildbot.conftest import make_agent, make_master, master_database  # noqa: F401  # fixtures
from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for
from worker_agent.program.loading import load

#: From here on RabbitMQ checks the keys in `CC` and `BCC` as it checks a routing key (rabbitmq-server, pull request
#: 12553; 3.10.8 does not, 4.0.5 and 4.3.6 do).
HEADERS_CHECKED = (4, 0)
#: The largest number that a message may carry: no run of a build's outbids it.
HIGHEST = 2**53 - 1
CONFIG = """
gtk, wx = (worker.amqp_column(name, workers=1, requires=[name]) for name in ("gtk", "wx"))
c['workers'] = gtk + wx
builder("b", gtk, steps.ShellCommand(
    name="work", command=["sh", "-c", "echo ran >> {ran}; while [ ! -e {go} ]; do sleep 0.2; done; echo by alice"]
))
"""


def plain(secure: SecureNode, url: str) -> str:
    """The same account without TLS."""
    address = parse_url(url)
    return f"amqp://{address.user}:{address.password}@127.0.0.1:{secure.node.port}/{address.vhost}"


class Stage:
    """A master, alice for its column gtk, and mallory, who knows all names and none of the tickets."""

    def __init__(self, folder: Path, master: BuildMaster, alice: Callable[[], Agent], mallory: Any, admin: Any) -> None:
        self._folder = folder
        self.master = master
        self._start_alice = alice
        self.mallory = mallory
        self.admin = admin
        self._overheard: list[AnyMessage] = []
        self.alice: Agent
        #: mallory's queue, to which whoever believes mallory answers
        self.address = topology.control_address("mallory", "i2", "n2")
        mallory.queue_declare(self.address, exclusive=True)
        mallory.queue_bind(self.address, topology.CONTROL, self.address)
        self.tap = admin.queue_declare("", exclusive=True).method.queue
        for exchange in (topology.CONTROL, topology.REPLIES, topology.FLEET):
            admin.queue_bind(self.tap, exchange, "#")

    def start_alice(self) -> None:
        self.alice = self._start_alice()

    def running(self) -> tuple[int, Build]:
        """A build that alice runs, past its longer grace or not: the request, and the build."""
        self.start_alice()
        request = self.master.force("b")
        build = self.master.step_running(request, "work")
        wait_for(lambda: self.ran == 1, 60, lambda: f"alice runs it: {self.alice.log()[-3000:]}")
        return request, build

    @property
    def ran(self) -> int:
        path = self._folder / "ran"
        return len(path.read_text().split()) if path.exists() else 0

    def is_alices(self, request: int) -> None:
        """The build goes on where it was, and what it says at its end alice has said."""
        assert self.master.builds(request)[-1].row["results"] is None
        (self._folder / "go").touch()
        build = self.master.finished(request)
        assert build.result == "SUCCESS", self.master.describe(request)
        assert self.master.output(build, "work") == "by alice\n"
        assert self.master.properties(build)["agent"] == "alice"
        assert self.ran == 1

    def session(self) -> str:
        """The id of alice's session, which any worker could once read in a status."""
        return wait_for(lambda: [path.name for path in self._sessions()], 60, "a session")[0]

    def _sessions(self) -> list[Path]:
        folder = self.alice.folder / "state" / "sessions"
        return sorted(folder.iterdir()) if folder.exists() else []

    def heard(self) -> list[AnyMessage]:
        """What came to mallory's own queue, except for what is told to everybody."""
        return [message for message in _all(self.mallory, self.address) if not isinstance(message, RollCall)]

    def overheard(self, *kinds: type[Any]) -> list[Any]:
        """Of all that was said on the topic exchanges so far."""
        self._overheard += _all(self.admin, self.tap)
        return [message for message in self._overheard if isinstance(message, kinds)]

    def dead(self) -> list[tuple[str, Any]]:
        """Takes out what lies in `dead`: reason, and properties."""
        found: list[tuple[str, Any]] = []
        while True:
            method, properties, _ = self.admin.basic_get(topology.DEAD_QUEUE, auto_ack=True)
            if method is None:
                return found
            found.append((str((properties.headers or {}).get(topology.DEAD_REASON_HEADER)), properties))

    def wait_dead(self, count: int, reason: str) -> None:
        found: list[str] = []

        def enough() -> bool:
            found.extend(why for why, _ in self.dead())
            return sum(1 for why in found if re.search(reason, why)) >= count

        wait_for(enough, 60, lambda: f"{count} in dead with {reason!r}: {found}")

    def says(
        self,
        message: AnyMessage,
        exchange: str,
        key: str,
        *,
        user_id: str | None = "mallory",
        headers: Mapping[str, Any] = {},
    ) -> None:
        wire = encode(message)
        properties = pika.BasicProperties(
            headers={**wire.headers, **headers}, type=wire.type, content_type=wire.content_type, user_id=user_id
        )
        self.mallory.basic_publish(exchange, key, wire.body, properties)

    @property
    def headers_checked(self) -> bool:
        """This broker looks at the keys in `CC` and `BCC`, too."""
        return introduced(self.mallory.connection._impl.server_properties).version >= HEADERS_CHECKED

    def says_by_header(self, message: AnyMessage, header: str, key: str, *, user_id: str | None = "mallory") -> None:
        """To all that are bound to `key`, where the broker lets it; else it is refused."""
        if not self.headers_checked:
            self.says(message, topology.FLEET, topology.STATUS_KEY, user_id=user_id, headers={header: [key]})
            return
        before, self.mallory = self.mallory, self.mallory.connection.channel()  # a refusal closes a channel
        self.mallory.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match=f"403.*{key}"):
            self.says(message, topology.FLEET, topology.STATUS_KEY, user_id=user_id, headers={header: [key]})
        self.mallory = before

    def puts(self, queue: str, message: AnyMessage) -> None:
        """The administrator, into a queue of mallory's; it is there by then."""
        wire, channel = encode(message), self.admin.connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(headers=dict(wire.headers), type=wire.type, content_type=wire.content_type)
        channel.basic_publish("", queue, wire.body, properties, mandatory=True)
        channel.close()

    def resume(self, request: str, **fields: Any) -> None:
        """Of a session of mallory's own."""
        said: dict[str, Any] = {
            "session": "s-mallory", "offer": "o-1", "request": request, "master": "m1", "run": HIGHEST,
            "instance": "i2", "agent": "alice", "epoch": HIGHEST, "address": self.address, "ticket": "grant:1:0:1:f",
            "worker": WorkerInfo(version="1.0", basedir="/w"),
            "commands": (Executing(n=1, digest=shell(1, "true").digest, completed=True),), **fields,
        }  # fmt: skip
        self.says(Resume(**said), topology.REPLIES, topology.claims_key("mallory", "m1"))


def _all(channel: Any, queue: str) -> list[AnyMessage]:
    found: list[AnyMessage] = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(decode(body, properties.headers or {}))


@pytest.fixture
def stage(
    secure: SecureNode,
    enroll: Callable[..., Path],
    amqp_url: str,
    make_master: Callable[..., BuildMaster],  # the fixture
    make_agent: Callable[..., Agent],  # the fixture
    tmp_path: Path,
) -> Iterator[Stage]:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as admin:
        url = plain(secure, enroll("m1", "--as", "master").read_text().strip())
        config = CONFIG.format(ran=tmp_path / "ran", go=tmp_path / "go")
        master = make_master(config, url=url)

        def alice() -> Agent:
            secret = load({}, enroll("alice", "--allow", "gtk")).amqp_url
            assert secret is not None
            address = plain(secure, secret.get_secret_value())
            # the command line wins over make_agent's own, an administrator's
            return make_agent("alice", capabilities=["gtk"], environment={"WORKER_AGENT_AMQP_URL": address})

        mallory = channel_of(secure, enroll("mallory", "--allow", "wx"))
        yield Stage(tmp_path, master, alice, mallory, admin.channel())
        mallory.connection.close()


@pytest.mark.parametrize("run", [1, HIGHEST])
def test_a_resume_takes_no_build_of_another_column(stage: Stage, run: int) -> None:
    """Of one that waits, that it guesses: nothing is granted or started, and alice, who comes later, has it."""
    request = stage.master.force("b")
    stage.master.started(request)
    for session in ("s-mallory", "s-2", "s-3"):
        stage.resume(f"br-{request}", session=session, run=run)
    stage.wait_dead(3, "no ticket")
    assert not stage.heard()
    stage.start_alice()
    wait_for(lambda: stage.ran == 1, 60, lambda: f"alice runs it: {stage.alice.log()[-3000:]}")
    stage.is_alices(request)
    assert not stage.heard()


def test_nor_does_it_outbid_the_session_that_runs(stage: Stage) -> None:
    """In its own name, in the session's, with the session's words: before and after a restart of the master."""
    request, _ = stage.running()
    session = stage.session()
    for own in ("s-mallory", session):
        stage.resume(f"br-{request}", session=own)
    stage.wait_dead(2, "no ticket|user alice's")
    stage.master.kill()
    more: list[dict[str, Any]] = [{}, {"session": session}, {"run": 1}, {"session": "s-5", "offer": "o-9"}]
    for fields in more:
        stage.resume(f"br-{request}", **fields)
    stage.master.start()
    stage.wait_dead(4, "no ticket|user alice's")
    stage.resume(f"br-{request}")
    stage.wait_dead(1, "no ticket")
    # Until the master has given up the build that its kill left behind, that one is the newest, with a begun step.
    wait_for(lambda: len(stage.master.builds(request)) == 2, 60, lambda: stage.master.describe(request))
    stage.master.step_running(request, "work")
    stage.is_alices(request)
    assert not stage.heard()


def test_no_header_brings_orders_or_commands_to_another_agent(stage: Stage, tmp_path: Path) -> None:
    """`CC` and `BCC` are routed unchecked by older brokers: what comes by them to alice is not followed.

    Newer ones refuse what its sender might not say by a routing key.
    """
    request, _ = stage.running()
    session, planted = stage.session(), tmp_path / "planted"
    incarnation = wait_for(lambda: stage.overheard(RollCall, Catalogue), 60, "an incarnation")[0]
    address = [status.address for status in stage.overheard(Status)] or [_address(stage)]
    orders: list[AnyMessage] = [
        Start(session=session, incarnation=incarnation.incarnation, command=shell(2, "touch", str(planted))),
        Steer(order="stop"),
        Catalogue(master="m1", incarnation="i", signatures=()),
    ]
    for message in orders:
        for header in ("CC", "BCC"):
            stage.says_by_header(message, header, topology.CATALOGUE_KEY)
        for key in (topology.BROADCAST, address[0], topology.TELL):
            channel = stage.mallory.connection.channel()
            channel.confirm_delivery()
            with pytest.raises(ChannelClosedByBroker, match="403"):
                channel.basic_publish(topology.CONTROL, key, b"{}")
    if not stage.headers_checked:
        wait_for(lambda: "message_sender_not_verified" in stage.alice.log(), 60, lambda: stage.alice.log()[-3000:])
    assert stage.alice.running
    stage.is_alices(request)
    assert not planted.exists()
    assert "order=stop" not in stage.alice.log()


def _address(stage: Stage) -> str:
    found = re.search(r"agent\.alice\.[\w:-]+\.[\w:-]+", stage.alice.log())
    assert found is not None
    return found.group()


@pytest.mark.parametrize("user_id", ["mallory", None], ids=["own", "none"])
def test_nothing_is_said_in_anothers_name_by_a_dead_letter(stage: Stage, user_id: str | None) -> None:
    """A queue of its own that dead-letters to `bb.replies` at once, with alice's key: none of it counts.

    It may read no key there that it may write. By `CC` it comes by one all the same, from an older broker; from a newer
    one the administrator puts into the queue what it could not, so that masters are asked there, too.
    """
    request, _ = stage.running()
    session = stage.session()
    seq = HIGHEST // 2
    forged: list[tuple[AnyMessage, str]] = [
        (
            Gone(session=session, request=f"br-{request}", master="m1", epoch=HIGHEST, address=_address(stage),
                 reason="lost"),
            topology.claims_key("alice", "m1"),
        ),
        *(
            (Event(session=session, seq=number, n=1, kind=kind, value=value), topology.events_key("alice", "m1"))
            for number in (1, 2, 3, 4, seq)
            for kind, value in (("update", ["rc", 0]), ("completed", None))
        ),
    ]  # fmt: skip
    for number, (message, key) in enumerate(forged):
        queue = topology.control_address("mallory", "i2", f"q{number}")
        stage.mallory.queue_declare(
            queue, exclusive=True,
            arguments={
                "x-dead-letter-exchange": topology.REPLIES, "x-dead-letter-routing-key": key, "x-message-ttl": 0
            },
        )  # fmt: skip
        stage.mallory.queue_bind(queue, topology.FLEET, topology.CATALOGUE_KEY)
        stage.says_by_header(message, "CC", topology.CATALOGUE_KEY, user_id=user_id)
        if stage.headers_checked:
            stage.puts(queue, message)
        stage.mallory.queue_delete(queue)
    stage.wait_dead(len(forged), "dead-lettered")
    stage.is_alices(request)


@pytest.mark.parametrize("name", [HEADER, *(pytest.param(each, marks=pytest.mark.long) for each in ("x", KEY_HEADER))])
def test_no_header_cuts_a_link(stage: Stage, name: str) -> None:
    """One that fills a frame, once and again, to the master's queues and to the agents'."""
    request, _ = stage.running()
    room = stage.mallory.connection._impl.params.frame_max
    value = "v" * (room - 34 - len(name) - len("mallory") - 1)
    ups = stage.master.log().count("event=amqp.link_up")
    rounds = 5
    for _ in range(rounds):
        for exchange, key in (
            (topology.REPLIES, topology.claims_key("mallory", "m1")),
            (topology.REPLIES, topology.events_key("mallory", "m1")),
            (topology.FLEET, topology.STATUS_KEY),
        ):
            for user_id in ("mallory", None):
                properties = pika.BasicProperties(headers={name: value}, user_id=user_id)
                stage.mallory.basic_publish(exchange, key, b"{}", properties)
    stage.wait_dead(4 * rounds, "")
    assert stage.master.log().count("event=amqp.link_up") == ups
    assert "event=amqp.link_down" not in stage.master.log()
    assert "link_down" not in stage.alice.log()
    stage.is_alices(request)
