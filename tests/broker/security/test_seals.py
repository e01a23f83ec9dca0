"""Attacks on a sealed build (rule 24) by who may publish what master and agent publish, and by who may not.

The broker is real, and so are master and agent. All of them and the attacker log in as one user: whatever `user_id` and
routing keys keep away, the seal must keep away alone. The thief has an account of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.codec import Wire, decode, encode
from contracts.errors import BadMessage
from contracts.messages import Accept, AnyMessage, Claim, Grant, Later, Offer, Resume, Sealed, WorkerInfo
from tests.broker.security.conftest import SecureNode
from tests.buildbot.conftest import make_agent, make_master, master_database  # noqa: F401  # fixtures
from tests.harness import broker_state
from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

CONFIG = """
c['workers'] = [w for name in ("one", "two")
    for w in worker.amqp_column(name, workers=1, requires=[name], seal=True)]
for name in ("one", "two"):
    builder(name, [name + "-1"],
        steps.ShellCommand(name="first", command="echo first >> {folder}/ran-" + name),
        steps.ShellCommand(name="work", command="echo work >> {folder}/ran-" + name
            + "; while [ ! -e {folder}/go-" + name + " ]; do sleep 0.1; done; seq 2000"),
        steps.ShellCommand(name="last", command="echo last >> {folder}/ran-" + name))
"""


class Tap:
    """What passes the topic exchanges, with its AMQP properties, and a way to say more."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel: Any = self._connection.channel()
        self.user = pika.URLParameters(url).credentials.username
        for exchange in topology.EXCHANGES:
            self.channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
        self._queue = self.channel.queue_declare("", exclusive=True).method.queue
        for watched in (topology.CONTROL, topology.REPLIES):
            self.channel.queue_bind(self._queue, watched, "#")
        #: exchange, routing key and message, in their order
        self.seen: list[tuple[str, str, AnyMessage]] = []

    def close(self) -> None:
        self._connection.close()

    def new_channel(self) -> Any:
        return self._connection.channel()

    def look(self) -> list[tuple[str, str, AnyMessage]]:
        for method, properties, body in self._taken(self._queue):
            try:
                self.seen.append((method.exchange, method.routing_key, decode(body, properties.headers)))
            except BadMessage:
                continue  # one of the attacker's own
        return self.seen

    def _taken(self, queue: str) -> Iterator[tuple[Any, Any, bytes]]:
        while (found := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
            yield found

    def sealed(self, exchange: str) -> list[tuple[str, Sealed]]:
        """Routing key and message of all that was sealed."""
        return [(key, m) for through, key, m in self.look() if through == exchange and isinstance(m, Sealed)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for _exchange, _key, message in self.look() if isinstance(message, kind)]

    def dead(self) -> list[str]:
        """Takes out what lies in `dead`: the reasons."""
        taken = self._taken(topology.DEAD_QUEUE)
        return [str((properties.headers or {}).get(topology.DEAD_REASON_HEADER)) for _, properties, _ in taken]

    def say(self, message: Any, exchange: str, key: str) -> None:
        wire: Wire = encode(message)
        properties = pika.BasicProperties(
            type=wire.type, content_type=wire.content_type, headers=dict(wire.headers) or None, user_id=self.user
        )
        self.channel.basic_publish(exchange, key, wire.body, properties)


class Stage:
    """Two sealed builds, each at its second command, on agents of their own."""

    def __init__(self, folder: Path, url: str, master: BuildMaster, agents: dict[str, Agent]) -> None:
        self.folder, self.url, self.master, self.agents = folder, url, master, agents
        self.tap = Tap(url)
        self.requests = {name: master.force(name) for name in agents}
        for name in agents:
            wait_for(
                lambda name=name: self.ran(name) == ["first", "work"], 60, lambda: self.agents["one"].log()[-3000:]
            )

    def ran(self, name: str) -> list[str]:
        path = self.folder / f"ran-{name}"
        return path.read_text().split() if path.exists() else []

    def ends_well(self) -> None:
        """Both builds, nothing having run twice, their output whole."""
        for name, request in self.requests.items():
            (self.folder / f"go-{name}").touch()
            build: Build = self.master.finished(request)
            assert build.result == "SUCCESS", self.master.describe(request) + self.agents[name].log()[-3000:]
            assert self.master.output(build, "work").split() == [str(number) for number in range(1, 2001)]
            assert self.ran(name) == ["first", "work", "last"]
            assert len(self.master.builds(request)) == 1


@pytest.fixture
def stage(
    tmp_path: Path, amqp_url: str, make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> Iterator[Stage]:
    master = make_master(CONFIG.format(folder=tmp_path))
    agents = {name: make_agent(name, capabilities=[name]) for name in ("one", "two")}
    staged = Stage(tmp_path, amqp_url, master, agents)
    yield staged
    staged.tap.close()


def variations(mine: Sealed, other: Sealed) -> dict[str, tuple[Sealed, str]]:
    """name -> what is sent instead of `mine`, and the reason that `dead` must give. `other`: of another session."""
    flipped = bytes([mine.data[0] ^ 1]) + mine.data[1:]
    unfit = "do not fit its key and number"
    new = mine.number + 500
    return {
        "a bit is flipped": (mine.model_copy(update={"data": flipped, "number": new}), unfit),
        "cut": (mine.model_copy(update={"data": mine.data[:-5], "number": new}), unfit),
        "without bytes": (mine.model_copy(update={"data": b"", "number": new}), unfit),
        "another number": (mine.model_copy(update={"number": new}), unfit),
        "bytes of another session": (mine.model_copy(update={"data": other.data, "number": new}), unfit),
        "too large": (mine.model_copy(update={"data": os.urandom(6 * 1024 * 1024), "number": new}), unfit),
    }


def test_nothing_that_was_sealed_before_or_elsewhere_runs_on_an_agent(stage: Stage) -> None:
    """Replayed, changed, cut, swapped: `dead` says why, the agent asks for a new grant, both builds go on."""
    tap = stage.tap
    starts = {
        name: next((key, m) for key, m in tap.sealed(topology.CONTROL) if m.session == session)
        for name, session in sessions(stage).items()
    }
    (address, mine), (_, other) = starts["one"], starts["two"]
    tap.dead()
    attacks = {
        **variations(mine, other),
        "sent again": (mine, "came before"),
        "the other session's name": (mine.model_copy(update={"session": other.session}), None),
    }
    for name, (message, reason) in attacks.items():
        tap.say(message, topology.CONTROL, address)
        if reason is not None:
            said: list[str] = []
            wait_for(lambda said=said: said.extend(tap.dead()) or said, 30, lambda name=name: f"dead after {name}")
            assert all(reason in each for each in said), (name, said)
        assert stage.ran("one") == ["first", "work"], name
    session = sessions(stage)["one"]
    wait_for(
        lambda: [resume for resume in tap.of(Resume) if resume.session == session], 30, lambda: "it asks for a grant"
    )
    stage.ends_well()


def test_nothing_that_was_sealed_before_or_elsewhere_counts_for_a_master(stage: Stage) -> None:
    """Events: output is neither repeated nor changed, whoever sends it in the agent's name."""
    tap = stage.tap
    events = {
        name: next((key, m) for key, m in tap.sealed(topology.REPLIES) if m.session == session)
        for name, session in sessions(stage).items()
    }
    (key, mine), (_, other) = events["one"], events["two"]
    tap.dead()
    for name, (message, reason) in variations(mine, other).items():
        tap.say(message, topology.REPLIES, key)
        said: list[str] = []
        wait_for(lambda said=said: said.extend(tap.dead()) or said, 30, lambda name=name: f"dead after {name}")
        assert all(reason in each for each in said), (name, said)
    for _ in range(3):
        tap.say(mine, topology.REPLIES, key)  # an event that it knows
    start = next(m for _key, m in tap.sealed(topology.CONTROL) if m.session == mine.session)
    tap.say(start, topology.REPLIES, key)  # of the other direction
    stage.ends_well()


def test_the_key_of_a_thief_is_sealed_for_by_nobody(stage: Stage, secure: SecureNode) -> None:
    """It knows the session and the request, and gives a key of its own in claim, resume and accept."""
    vhost = stage.url.rsplit("/", 1)[1]
    broker_state.make_user(secure.node, "thief", "thief")
    try:
        broker_state.permit(secure.node, vhost, "thief")
        thief = Tap(f"amqp://thief:thief@127.0.0.1:{secure.node.port}/{vhost}")
        session = sessions(stage)["one"]
        accept = next(m for m in stage.tap.of(Accept) if m.session == session)
        address = topology.control_address("thief", accept.instance, "n9")
        thief.channel.queue_declare(address, exclusive=True)
        thief.channel.queue_bind(address, topology.CONTROL, address)
        fields = {name: getattr(accept, name) for name in type(accept).model_fields if name not in ("t", "incarnation")}
        fields |= {"address": address, "epoch": accept.epoch + 5, "key": "11" * 32}
        fields["worker"] = WorkerInfo(version="1", basedir="/b")
        for message in (Claim(**fields), Resume(**fields), Resume(**{**fields, "session": "s-new"})):
            thief.say(message, topology.REPLIES, topology.claims_key("thief", "m1"))
        said: list[str] = []
        wait_for(lambda: said.extend(stage.tap.dead()) or len(said) >= 3, 30, lambda: str(said))
        assert all("user thief" in each or "no ticket" in each for each in said), said
        assert thief.channel.basic_get(address)[0] is None
        thief.close()
    finally:
        broker_state.delete_user(secure.node, "thief")
    stage.ends_well()


def test_an_agent_that_gives_no_key_is_told_why_and_another_gets_the_work(
    tmp_path: Path,
    amqp_url: str,
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
) -> None:
    """An older agent, or one in another language: its offer is parked, and the master's log names it."""
    master = make_master(CONFIG.format(folder=tmp_path))
    (tmp_path / "go-one").touch()
    tap = Tap(amqp_url)
    address = topology.control_address(topology.key_word(tap.user), "old", "n1")
    tap.channel.queue_declare(address, exclusive=True)
    tap.channel.queue_bind(address, topology.CONTROL, address)
    request = master.force("one")
    queue = topology.cap_queue("one+sealing")
    got: list[Any] = []

    def delivered() -> bool:
        channel = tap.new_channel()
        try:
            method, properties, body = channel.basic_get(queue)
        except pika.exceptions.ChannelClosedByBroker:  # the master has not made it yet
            return False
        if method is None:
            channel.close()
        else:
            got.append((channel, method, decode(body, properties.headers)))
        return bool(got)

    wait_for(delivered, 60, lambda: master.describe(request))
    channel, method, offer = got[0]
    assert isinstance(offer, Offer)
    assert (offer.seal, offer.ask) == (True, True)
    claim = Claim(
        session="s-old", offer=offer.offer, request=offer.request, master=offer.master, run=offer.run, instance="old",
        agent="old", epoch=1, address=address, ticket=offer.ticket, worker=WorkerInfo(version="1", basedir="/b"),
    )  # fmt: skip
    tap.say(claim, topology.REPLIES, topology.claims_key(topology.key_word(tap.user), "m1"))
    wait_for(lambda: tap.of(Later), 30, lambda: master.describe(request))
    assert "agent old gives no key" in tap.of(Later)[0].reason
    assert not tap.of(Grant)
    assert "event=amqp.no_key" in master.log()
    make_agent("one", capabilities=["one"])
    channel.basic_nack(method.delivery_tag, requeue=False)
    build = master.finished(request, 90)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.properties(build)["agent"] == "one"
    tap.close()


def sessions(stage: Stage) -> dict[str, str]:
    """Name of the agent -> its session."""
    accepted = {accept.agent: accept.session for accept in stage.tap.of(Accept)}
    return {name: next(s for agent, s in accepted.items() if agent.split("@")[0] == name) for name in stage.agents}
