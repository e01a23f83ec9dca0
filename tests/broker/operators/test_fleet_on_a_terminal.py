"""`master-bridge fleet` on a real terminal, in pipes and in odd environments, with a fleet of 1,000 agents."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pika
import pytest

from contracts import topology
from contracts.codec import encode
from contracts.messages import Capability, Catalogue, SlotStatus, Status, Work, WorkView
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.timing import STATUS_INTERVAL
from tests.harness.terminal import Terminal
from tests.harness.tree import ROOT
from tests.harness.vhosts import Vhosts

AGENTS = 1000
#: What a name may do to a terminal: set its title, its clipboard, clear it; and markup.
HOSTILE = "\x1b]0;owned\x07\x1b[2J[red]\u202e"
#: A terminal, or a pipe, of another encoding.
LATIN = {"LANG": "en_US.ISO-8859-1", "PYTHONIOENCODING": "latin-1"}
MASTER_BRIDGE = str(Path(sys.executable).parent / "master-bridge")


def agent(number: int) -> Status:
    """Of 1,000: one is hostile, each 50th unwell, each third busy; each 10th has GTK 3."""
    busy, unwell = number % 3 == 0, number % 50 == 1
    slot = SlotStatus(
        state="held" if busy else "idle", session="s" if busy else None, master="m1" if busy else None,
        title=f"linux-gtk #{number}" if busy else "", since=time.time() - number - 60 if busy else 0,
    )  # fmt: skip
    capabilities = [Capability(name=f"tool{each}", version=f"{each}.1") for each in range(20)]
    capabilities.append(Capability(name="gtk", version="3.24" if number % 10 == 0 else "2.24"))
    return Status(
        instance=f"i-{number}", agent=HOSTILE if number == 7 else f"builder{number:04}", epoch=1,
        address=f"agent.guest.i{number}.n", version="0.1.0", now=time.time(), state="unwell" if unwell else "ready",
        reasons=("disk is full",) if unwell else (), slots=(slot,), capabilities=tuple(capabilities),
        queues=("cap.gtk:ge:3",), started=time.time() - 7200,
    )  # fmt: skip


class SimulatedFleet:
    """Agents and a master that tell their status when they are asked, and every 5 s, from a thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _tell(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        properties = pika.BasicProperties(user_id="guest")
        view = WorkView(request="br-1", title="gtk #9", signature="gtk>=4", state="waiting", since=time.time() - 300)
        told = [(topology.STATUS_KEY, encode(agent(number)).body) for number in range(AGENTS)]
        told.append((topology.WORK_KEY, encode(Work(master="m1", incarnation="i", now=1.0, requests=(view,))).body))
        catalogue = Catalogue(master="m1", incarnation="i", signatures=("gtk>=3", "any"))
        told.append((topology.CATALOGUE_KEY, encode(catalogue).body))

        def tell(*_: object) -> None:
            for key, body in told:
                channel.basic_publish(topology.FLEET, key, body, properties)

        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, topology.CONTROL, topology.TELL)
        channel.basic_consume(queue, tell, auto_ack=True)
        again = 0.0
        while not self._over.is_set():
            connection.process_data_events(0.2)
            if time.monotonic() > again:
                again = time.monotonic() + STATUS_INTERVAL
                tell()
        connection.close()


@pytest.fixture(scope="module")
def fleet(node: RabbitMQNode, _vhosts: Vhosts) -> Iterator[str]:
    """The URL of a broker at which 1,000 agents are."""
    vhost = _vhosts.take()
    url = node.vhost_url(vhost)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for exchange in topology.EXCHANGES:
            connection.channel().exchange_declare(exchange.name, exchange.type.value, durable=True)
    running = SimulatedFleet(url)
    yield url
    running.stop()
    _vhosts.give_back(vhost)


@pytest.fixture(scope="module")
def start(fleet: str) -> Iterator[Callable[..., Terminal]]:
    """Runs `master-bridge fleet ARGUMENTS` on a terminal."""
    made: list[Terminal] = []

    def run(*arguments: str, columns: int = 80, **environment: str) -> Terminal:
        made.append(Terminal([MASTER_BRIDGE, "fleet", *arguments], variables(fleet, **environment), columns))
        return made[-1]

    yield run
    for each in made:
        each.close()


def variables(url: str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "MASTER_BRIDGE_AMQP_URL": url, "XDG_CONFIG_HOME": "/nowhere", **more}


#: Name -> arguments and environment of a call whose output goes into a pipe; all run at the same time.
PIPED: dict[str, tuple[list[str], dict[str, str]]] = {
    "matched": (["--match", "gtk>=3", "--sort", "for"], {"COLUMNS": "40", "FORCE_COLOR": "1"}),
    "hostile": (["--filter", "owned", "--all"], LATIN),
    "json": (["--json", "--match", "gtk>=3"], {}),
}


@pytest.fixture(scope="module")
def piped(fleet: str) -> dict[str, bytes]:
    """What each of `PIPED` wrote."""
    running = {
        name: subprocess.Popen([MASTER_BRIDGE, "fleet", *arguments], env=variables(fleet, **environment),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name, (arguments, environment) in PIPED.items()
    }  # fmt: skip
    told = {name: process.communicate(timeout=120) for name, process in running.items()}
    assert {name: (process.returncode, told[name][1]) for name, process in running.items()} == dict.fromkeys(
        PIPED, (0, b"")
    )
    return {name: out for name, (out, _) in told.items()}


def has(text: str) -> Callable[[list[str]], bool]:
    return lambda screen: text in "\n".join(screen)


def test_the_live_view_scrolls_sorts_filters_and_leaves(start: Callable[..., Terminal]) -> None:
    """By keys, on 80 columns and on 160; the terminal is as it was when it is left; no name steers it."""
    terminal = start()
    terminal.until(has("1000 agents: "), "the summary")
    screen = terminal.until(has("builder0000"), "an agent")
    assert screen[0].startswith("1000 agents: 653 idle, 327 busy, 20 unwell"), screen
    assert not has("VERSION")(screen)
    assert has("gtk 3.24 +20")(screen)
    terminal.press("\x1b[F")
    assert not has("builder0001")(terminal.until(has("builder0999"), "the last agent"))
    terminal.press("\x1b[H")
    terminal.until(has("builder0001"), "the first agents")
    terminal.resize(160, 30)
    terminal.until(has("VERSION"), "160 columns")
    terminal.press("s")
    terminal.until(has("(by state)"), "the order")
    terminal.press("/unwell")
    terminal.until(has("shown: 20 of 1000 agents"), "the filter")
    terminal.until(has("unwell: disk is full"), "the agents that it leaves")
    terminal.until(lambda screen: not has("q quit")(screen), "the field's keys")
    terminal.press("\r")
    terminal.until(has("q quit"), "the field's end")
    terminal.press("mgtk>=4\r")
    terminal.until(has("0 of 1000 agents (with the words unwell, that offer gtk>=4)"), "the requirement")
    terminal.press("c")
    terminal.until(has("100 agents have gtk 3.24, need gtk>=4"), "what the columns lack")
    terminal.press("q")
    assert terminal.end() == 0
    assert b"\x1b[?1049l" in terminal.sent
    assert b"owned\x07" not in terminal.sent


def test_ctrl_c_and_signals_leave_the_terminal_as_it_was(start: Callable[..., Terminal]) -> None:
    """Also without colours, which NO_COLOR asks for."""
    running = [start(NO_COLOR="1"), start(), start()]
    for terminal in running:
        terminal.until(has("1000 agents: "), "the summary")
    running[0].press("\x03")
    running[1].process.send_signal(signal.SIGTERM)
    running[2].process.send_signal(signal.SIGINT)
    assert [terminal.end() for terminal in running] == [0, 0, 0]
    assert all(b"\x1b[?1049l" in terminal.sent for terminal in running)
    assert not re.search(rb"\x1b\[([0-9;]*;)?3[0-7](;|m)", running[0].sent)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, LATIN], ids=["dumb", "not UTF-8"])
def test_a_terminal_that_cannot_show_it_live_gets_it_once(
    start: Callable[..., Terminal], environment: dict[str, str]
) -> None:
    """Lines of text, as wide as it is, and no orders; `--watch` says why not."""
    refused, terminal = start("--watch", **environment), start("--filter", "builder0000", **environment)
    assert (refused.end(), terminal.end()) == (2, 0)
    assert b"no live view, for" in refused.sent
    assert b"shown: 1 of 1000 agents" in terminal.sent
    assert b"\x1b" not in terminal.sent
    line = next(line for line in terminal.sent.decode("latin-1").splitlines() if line.startswith("builder0000"))
    assert len(line) <= 85  # with an escape in place of "…"


def test_a_pipe_gets_plain_text_with_all_columns(piped: dict[str, bytes]) -> None:
    """Nothing is cut, however narrow; each agent's line has all columns; no colour; a hostile name is escaped."""
    lines = piped["matched"].decode().splitlines()
    assert lines[0].startswith("1000 agents: ")
    assert lines[1] == "shown: 100 of 1000 agents (that offer gtk>=3)"
    titles = next(number for number, line in enumerate(lines) if line.startswith("AGENT"))
    agents = lines[titles + 1 : lines.index("", titles)]
    assert len(agents) == 100
    assert agents[0].split()[:5] == ["builder0990", "busy", "1/1", "linux-gtk", "#990"]
    assert {len([part for part in line.split("  ") if part]) for line in agents} == {8}
    assert all("gtk 3.24 +20" in line for line in agents)
    assert any(line.split()[:2] == ["gtk>=4", "1"] for line in lines), lines[-10:]
    assert rb"\x1b]0;owned\x07\x1b[2J[red]\u202e" in piped["hostile"]
    assert b"tool7 7.1" in piped["hostile"]
    assert all(byte >= 32 or byte == 10 for byte in piped["hostile"])


def test_the_json_is_what_its_schema_says(piped: dict[str, bytes]) -> None:
    """The file in docs/reference, which is made of the models."""
    schema = json.loads((ROOT / "docs/reference/master-bridge-fleet.schema.json").read_text("utf-8"))
    told = json.loads(piped["json"])
    jsonschema.validate(told, schema)
    assert (told["schema_version"], told["summary"]["agents"], len(told["agents"])) == (1, AGENTS, 100)
    assert told["summary"]["states"] == {"idle": 653, "busy": 327, "unwell": 20}
    assert told["agents"][0]["doing"] == "busy"


def test_a_reader_that_has_gone_is_no_error(fleet: str) -> None:
    """`master-bridge fleet | head -1`, and of one object a line."""
    starts = {"": b"1000 agents: ", "--json --watch": b'{"schema_version": 1'}
    pipeline = '"$0" fleet --no-queues $1 | head -n 1'
    running = {
        arguments: subprocess.Popen(["bash", "-c", pipeline, MASTER_BRIDGE, arguments], env=variables(fleet),
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for arguments in starts
    }  # fmt: skip
    for arguments, process in running.items():
        told, said = process.communicate(timeout=120)
        assert told.startswith(starts[arguments])
        assert said == b""
