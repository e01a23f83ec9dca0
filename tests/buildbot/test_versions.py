"""Masters and agents of this version of the protocol and of the next, on a real broker with real Buildbot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.messages import Claim, Resume, WorkerInfo
from contracts.protocol_version import OURS
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import OTHER_PROGRAMS

pytestmark = [pytest.mark.rabbitmq(OTHER_PROGRAMS), pytest.mark.long, pytest.mark.timeout(180)]

CONFIG = """
import os
c['workers'] = worker.amqp_column("any", workers=2, requires=["any"])
hello = steps.ShellCommand(name="hello", command=["echo", "hello world"])
builder("hello", c['workers'], hello)
builder("goes-on", c['workers'], hello,
    steps.ShellCommand(name="on", command=["sh", "-c", 'until [ -e "$0" ]; do sleep 0.1; done', os.path.abspath("go")]))
"""
NOW, NEXT = OURS.newest, OURS.newest + 1
#: Said by each side of an agreed session, in the version agreed.
IN_SESSION = {"accept", "grant", "start", "event", "stored", "release"}


def pretend(oldest: int, newest: int) -> str:
    """Python that makes the rest of its process speak these versions. No next one is made yet: nothing else differs."""
    return (
        f"import contracts.protocol_version as p; p.OLDEST_VERSION, p.VERSION = {oldest}, {newest}; "
        f"p.OURS = p.Versions(oldest={oldest}, newest={newest})\n"
    )


class Tap:
    """Hears all that goes to agents and masters: type of message -> the versions it was written in."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        for exchange in (topology.CONTROL, topology.REPLIES):
            self._channel.queue_bind(self._queue, exchange, "#")
        self._found: dict[str, set[int]] = defaultdict(set)

    def versions(self) -> dict[str, set[int]]:
        """Of all that was said so far."""
        for _method, properties, body in self._channel.consume(self._queue, auto_ack=True, inactivity_timeout=0.5):
            if properties is None:
                break
            fields = json.loads((properties.headers or {}).get("bb") or body)
            self._found[fields["t"]].add(fields["v"])
        self._channel.cancel()
        return self._found

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def tap(amqp_url: str, make_master: Callable[..., BuildMaster]) -> Iterator[Callable[[], Tap]]:
    """Opens one, when the master has declared the exchanges."""
    taps: list[Tap] = []

    def make() -> Tap:
        taps.append(Tap(amqp_url))
        return taps[-1]

    yield make
    for each in taps:
        each.close()


def start_master(make_master: Callable[..., BuildMaster], oldest: int, newest: int) -> BuildMaster:
    master = make_master(CONFIG, start=False)
    master.prelude = pretend(oldest, newest)
    master.start()
    master.wait_linked()
    return master


def start_agent(make_agent: Callable[..., Agent], name: str, oldest: int, newest: int) -> Agent:
    code = pretend(oldest, newest) + "from worker_agent.program.cli import main; main()"
    return make_agent(name, program=(sys.executable, "-c", code))


def fleet(url: str, oldest: int, newest: int) -> dict[str, Any]:
    """What `master-bridge fleet` of these versions tells a program."""
    code = pretend(oldest, newest) + "from master_bridge.cli import main; main(['fleet', '--json'])"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MASTER_BRIDGE_AMQP_URL": url}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize(
    ("master_speaks", "agent_speaks", "agreed"),
    [
        ((NOW, NOW), (NOW, NEXT), NOW),
        ((NOW, NEXT), (NOW, NOW), NOW),
        ((NOW, NEXT), (NOW, NEXT), NEXT),
        ((NEXT, NEXT + 1), (NOW, NEXT), NEXT),
    ],
    ids=["next agent, this master", "this agent, next master", "both next", "agent of this, master of after next"],
)
def test_peers_with_a_version_in_common_build_in_the_newest_one(
    master_speaks: tuple[int, int],
    agent_speaks: tuple[int, int],
    agreed: int,
    amqp_url: str,
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    tap: Callable[[], Tap],
) -> None:
    """The claim says what the agent speaks; grant, and all that follows on both sides, is in what was chosen."""
    master = start_master(make_master, *master_speaks)
    heard = tap()
    start_agent(make_agent, "a1", *agent_speaks)
    request = master.force("goes-on")
    wait_for(lambda: heard.versions()["stored"], 60, lambda: f"its events are stored: {master.describe(request)}")
    (master.folder / "go").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.output(build, "hello") == "hello world\n"
    versions = heard.versions()
    assert {kind: versions[kind] for kind in IN_SESSION} == {kind: {agreed} for kind in IN_SESSION}
    assert versions["claim"] == {agent_speaks[0]}
    told = fleet(amqp_url, NOW, NEXT)
    assert told["incompatible"] == []
    assert [agent["protocol"] for agent in told["agents"]] == [list(agent_speaks)]


@pytest.mark.parametrize(
    ("master_speaks", "agent_speaks"),
    [((NOW, NOW), (NEXT, NEXT + 1)), ((NEXT, NEXT + 1), (NOW, NOW))],
    ids=["agent too new", "agent too old"],
)
def test_peers_with_none_leave_the_work_to_others_and_are_named(
    master_speaks: tuple[int, int],
    agent_speaks: tuple[int, int],
    amqp_url: str,
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
) -> None:
    """The offer is parked, both sides' versions are in the agent's log and in `fleet`; an agent that fits gets it."""
    master = start_master(make_master, *master_speaks)
    agent = start_agent(make_agent, "stranger", *agent_speaks)
    request = master.force("hello")
    wait_for(lambda: "offer_of_other_version" in agent.log(), 30.0, lambda: f"the agent says so:\n{agent.log()}")
    wait_for(lambda: "incompatible_master" in agent.log(), 60, lambda: f"the agent names it:\n{agent.log()}")
    for text in (f"protocol version {_text(master_speaks)}", f"speaks {_text(agent_speaks)}"):
        assert text in agent.log()
    wait_for(lambda: "amqp.peer_incompatible" in master.log(), 60, lambda: f"the master names it:\n{master.log()}")

    for reader in (master_speaks, agent_speaks, (NOW, NEXT)):
        told = fleet(amqp_url, *reader)["incompatible"]
        known = {entry["sender"].partition(" (")[0]: entry["reason"] for entry in told}  # with its account behind
        if reader == master_speaks or reader == (NOW, NEXT):
            assert f"version {_text(agent_speaks)}" in known["stranger"]
            assert f"speaks {_text(master_speaks)}" in known["stranger"]
        else:
            assert f"version {_text(master_speaks)}" in known["m1"]
        assert all("upgrade the older" in reason for reason in known.values())

    start_agent(make_agent, "fits", *master_speaks)
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.properties(build)["agent"] == "fits"


def test_a_claim_that_cannot_be_read_is_answered_with_both_versions(
    amqp_url: str, make_master: Callable[..., BuildMaster], tmp_path: Path
) -> None:
    """An agent that claims an offer of before the master's upgrade: `later`, so that nobody loses it; a resume: no."""
    master = make_master(CONFIG)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        channel = connection.channel()
        address = topology.control_address("guest", "stranger", "0")
        channel.queue_declare(address, exclusive=True)
        channel.queue_bind(address, topology.CONTROL, address)
        common = {
            "session": "s1", "offer": "o1", "request": "br-1", "master": "m1", "run": 1, "instance": "stranger",
            "agent": "old-box", "epoch": 1, "address": address, "ticket": "t", "v": 7, "upto": 8,
            "worker": WorkerInfo(version="9", basedir="/b"),
        }  # fmt: skip
        answers = []
        for message in (Claim(**common), Resume(**common)):
            channel.basic_publish(
                topology.REPLIES,
                topology.claims_key("guest", "m1"),
                message.model_dump_json().encode(),
                pika.BasicProperties(user_id="guest"),
            )
            told = wait_for(lambda: channel.basic_get(address, auto_ack=True)[2], 60, f"an answer to {message.t}")
            answers.append(json.loads(told))
    finally:
        connection.close()
    later, refuse = answers
    assert (later["t"], refuse["t"], refuse["re"]) == ("later", "refuse", "resume")
    for answer in answers:
        assert answer["v"] == 7  # which the agent reads
        assert f"'old-box' speaks protocol version 7 to 8, master 'm1' speaks {OURS}" in answer["reason"]
    assert master.log().count("amqp.peer_incompatible") == 1


def _text(versions: tuple[int, int]) -> str:
    oldest, newest = versions
    return str(oldest) if oldest == newest else f"{oldest} to {newest}"
