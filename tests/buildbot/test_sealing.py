"""What the broker holds and sees of a column with a seal: its whole disk, and all that passes its firehose."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.harness import broker_state
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import BROKER

pytestmark = [pytest.mark.rabbitmq(BROKER), pytest.mark.timeout(600)]

#: Where a marker goes -> the marker. None of them is a part of anything else.
MARKERS = {
    name: f"marker-{name}-{number}e5f1c0de"
    for number, name in enumerate(
        ("argument", "environment", "download", "upload", "folder", "output", "logfile", "step", "elsewhere"), 1000
    )
}
#: Written by the command from two halves, so that it stands in no argument.
MADE = {"upload", "folder", "output", "logfile"}

CONFIG = """
M = {markers!r}
SEAL = {seal!r}
def made(name):
    half = len(M[name]) // 2
    return "'" + M[name][:half] + "''" + M[name][half:] + "'"
c['workers'] = worker.amqp_column("deploy", workers=1, requires=["any"], seal=SEAL)
builder("deploy", c['workers'],
    steps.StringDownload(M["download"] * 1000, workerdest="down", name="down"),
    steps.ShellCommand(name="argument", command=["true", M["argument"]], env={{"IT": M["environment"]}}),
    steps.ShellCommand(name="make", command="mkdir -p d; for i in 1 2 3; do printf %s\\\\\\\\n "
        + made("upload") + " >> up; printf %s " + made("folder") + " > d/$i; done; "
        "printf %s\\\\\\\\n " + made("logfile") + " > the.log", logfiles={{"log": "the.log"}}),
    steps.FileUpload(workersrc="up", masterdest={folder!r} + "/up", name="up"),
    steps.DirectoryUpload(workersrc="d", masterdest={folder!r} + "/d", name="folder"),
    steps.ShellCommand(name=M["step"], command="cmp down down"),
    steps.ShellCommand(name="wait", command="touch {folder}/waits; while ! [ -e {folder}/go ]; do sleep .1; done; "
        "for i in $(seq 2000); do printf %s\\\\\\\\n " + made("output") + "; done; touch {folder}/said"),
)
builder("elsewhere", c['workers'],
    steps.CapabilityCommand(name="elsewhere", command=["echo", M["elsewhere"]], requires=["other"]))
"""


class Firehose:
    """Everything that is published to the broker and delivered by it, from `start` on."""

    def __init__(self, node: RabbitMQNode) -> None:
        self._node = node
        self._stopping = threading.Event()
        self._linked = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen = bytearray()
        self.keys: set[str] = set()

    def start(self) -> None:
        self._node.ctl("trace_on", "-p", "/")
        self._thread.start()
        assert self._linked.wait(30)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._node.url))
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "amq.rabbitmq.trace", "#")
        channel.basic_consume(queue, self._take, auto_ack=True)
        self._linked.set()
        try:
            while not self._stopping.is_set():
                connection.process_data_events(0.2)
            connection.close()
        except pika.exceptions.ConnectionClosedByBroker:
            return  # the test stops the broker, and looks at its disk then

    def _take(self, _channel: object, method: object, properties: pika.BasicProperties, body: bytes) -> None:
        self.seen += body + repr(properties.headers).encode()
        self.keys.add(str(method.routing_key))  # type: ignore[attr-defined]  # of pika, which has no types


@pytest.fixture
def firehose(own_node: RabbitMQNode) -> Iterator[Firehose]:
    hose = Firehose(own_node)
    hose.start()
    yield hose
    hose.stop()


def found(text: bytes | bytearray) -> set[str]:
    return {name for name, marker in MARKERS.items() if marker.encode() in text}


def on_disk(node: RabbitMQNode) -> set[str]:
    """In all files of the broker: messages, definitions, logs, crash dumps."""
    names: set[str] = set()
    files = 0
    for folder, _folders, names_of_files in os.walk(node.folder):
        for name in names_of_files:
            try:
                names |= found((Path(folder) / name).read_bytes())
                files += 1
            except FileNotFoundError:
                continue  # a segment that it deleted meanwhile
    assert files > 20
    return names


@pytest.mark.parametrize(
    "seal", [pytest.param(True, id="sealed"), pytest.param(False, id="control", marks=pytest.mark.long)]
)
def test_the_broker_holds_nothing_of_what_is_sealed(
    own_node: RabbitMQNode,
    firehose: Firehose,
    make_master: Callable[..., BuildMaster],
    master_database: Path,
    tmp_path: Path,
    seal: bool,
) -> None:
    """Commands, environment, files both ways, output: while the master is dead, the agent is dead, and afterwards.

    Without the seal every marker is seen, so what looks for them can find them.
    """
    config = CONFIG.format(markers=MARKERS, seal=seal, folder=str(tmp_path))
    master = make_master(config, url=own_node.url)
    agent = Agent(tmp_path / "agent-a1", own_node.url, name="a1").start()
    other = Agent(tmp_path / "agent-a2", own_node.url, name="a2", capabilities=["other"])
    disk: set[str] = set()
    try:
        request = master.force("deploy")
        wait_for((tmp_path / "waits").exists, 120, lambda: master.describe(request) + agent.log()[-3000:])
        agent.kill_main()  # its keeper goes on
        disk |= on_disk(own_node)
        agent.start()
        wait_for(lambda: agent.log().count("link_up") >= 2, 60, lambda: agent.log()[-3000:])
        master.kill()
        (tmp_path / "go").touch()
        wait_for((tmp_path / "said").exists, 60, lambda: agent.log()[-3000:])
        disk |= on_disk(own_node)  # of a dead master
        master.start()
        build = master.finished(request, 120)
        assert build.result == "SUCCESS", master.describe(request) + agent.log()[-3000:]
        assert master.output(build, "wait").count(MARKERS["output"]) == 2000
        assert (tmp_path / "up").read_text().count(MARKERS["upload"]) == 3
        assert all((tmp_path / "d" / name).read_text() == MARKERS["folder"] for name in "123")
        elsewhere = master.force("elsewhere")
        master.step_running(elsewhere, "elsewhere", 60)
        queue = "cap.other" + ("+sealing" if seal else "")
        wait_for(
            lambda: broker_state.queues(own_node, "/", "messages_ready").get(queue) == 1,
            60,
            lambda: str(broker_state.queues(own_node, "/", "messages_ready")),
        )
        disk |= on_disk(own_node)  # of a command that nobody has claimed
        other.start()
        build = master.finished(elsewhere, 120)
        assert build.result == "SUCCESS", master.describe(elsewhere) + agent.log()[-3000:]
        assert master.output(build, "elsewhere") == MARKERS["elsewhere"] + "\n"
    finally:
        agent.stop(5)
        other.stop(5)
    disk |= on_disk(own_node)
    broker_state.close_connections(own_node, "/")
    disk |= on_disk(own_node)
    assert {"publish.bb.control", "publish.bb.replies"} <= firehose.keys
    assert re.search(rb"br-\d+", firehose.seen), "nothing passed the firehose"
    if seal:
        assert (found(firehose.seen), disk) == (set(), set())
        assert b"sealed" in firehose.seen
    else:
        assert (found(firehose.seen), "elsewhere" in disk) == (set(MARKERS), True)
