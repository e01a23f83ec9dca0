"""One fault's laboratory: a vhost, masters, agents, and the questions that are asked of them afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.timing import LINK_UP_SETTLING
from tests.faults.laboratory import processes, work
from tests.harness.agents import PROGRAM, Agent
from tests.harness.environment import program_environment
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import LOOPBACK, OverRabbitMQ, Way

#: Log lines that are read from a master at a time.
_LINES = 20_000


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One line of the marks file: a command began or ended."""

    name: str
    what: str
    agent: str
    #: seconds since the epoch
    time: float


class Lab:
    """Masters and agents of one test. `make_*` start them; `end` ends what is left of them."""

    def __init__(
        self, folder: Path, node: RabbitMQNode | None, vhost: str, database: Path, way: Way | None = None
    ) -> None:
        """`way`: without a broker, the one between its one master and its agents (`without_broker`)."""
        self.folder = folder
        self._node = node
        self.vhost = vhost
        self.way = way or OverRabbitMQ(self.node.vhost_url(vhost))
        self.mark = uuid4().hex
        self.marks_file = folder / "marks"
        self.masters: list[BuildMaster] = []
        self.agents: list[Agent] = []
        self._database = database
        #: master -> when its link was last known to come up (monotonic seconds)
        self._cleared = 0
        self._linked: dict[BuildMaster, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def without_broker(cls, folder: Path, way: Way, database: Path) -> Lab:
        """Of one master, `m1`, which is its own."""
        return cls(folder, None, "", database, way)

    @property
    def node(self) -> RabbitMQNode:
        """The broker's."""
        assert self._node is not None, "this laboratory has no RabbitMQ: mark the test with `rabbitmq`"
        return self._node

    @property
    def url(self) -> str:
        """Where agents go."""
        return self.way.entrance().url

    @property
    def tells_deaths(self) -> bool:
        """Its master knows a killed agent from one that is cut off (rule 10)."""
        return self.url.startswith("amp")

    # -- parts --------------------------------------------------------------------------------------------------------

    def master(
        self, config: str, *, name: str = "m1", broker: str = "", url: str | None = "", start: bool = True
    ) -> BuildMaster:
        """A master that runs and is linked. `url` None: without our plugin."""
        folder = self.folder / f"master-{name}"
        url = self.way.master(folder) if url == "" else url
        master = BuildMaster(folder, config, url=url, name=name, broker=broker)
        master.create(self._database)
        self.masters.append(master)
        if start:
            master.start()
            if url is not None:
                master.wait_linked(60)
                self._linked[master] = time.monotonic()
        return master

    def agent(
        self,
        name: str,
        *,
        capabilities: Sequence[str] = ("gtk",),
        url: str = "",
        by: int | None = None,
        host: str = LOOPBACK,
        slots: int = 1,
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
        wait: bool = True,
        **more: Any,
    ) -> Agent:
        """An agent that runs. `wait`: and consumes. `by`: by way of this port; `host`: this machine as it sees it.

        It is started, never forked: the kernel tells of a process the environment with which its program began, and by
        that all of this laboratory are found.
        """
        entrance = self.way.entrance(by, host)
        agent = Agent(
            self.folder / f"agent-{name}",
            url or entrance.url,
            name=name,
            slots=slots,
            capabilities=capabilities,
            options=options,
            prefix=prefix,
            program=program,
            environment={
                processes.MARK: self.mark,
                "FAULTS_AGENT": name,
                **entrance.environment,
                **(environment or {}),
            },
            **more,
        )
        self.agents.append(agent)
        agent.start()
        if wait:
            wait_for(lambda: "link_up" in agent.log(), 30, lambda: f"{name} is linked:\n{agent.log()}")
        return agent

    def end(self) -> None:
        for master in self.masters:
            master.kill()
        self.end_agents()
        self.way.close()

    def end_agents(self) -> None:
        processes.kill_all(self.processes)
        for agent in self.agents:
            agent.kill_main()
        self.agents.clear()

    def clear(self) -> None:
        """For the next test on the same masters: no agent, no build, no marks."""
        for master in self.masters:
            self._stop_builds(master)
        with contextlib.suppress(AssertionError):  # after a failed test there may be nobody to clean up
            wait_for(lambda: not self.sessions(), 5, "sessions are over")
        self.end_agents()
        if self.way.folder is None:
            for queue, messages in self.queues().items():
                if messages and queue.startswith("cap."):
                    self.node.ctl("purge_queue", "-p", self.vhost, queue)
        self._cleared += 1
        for path in [self.marks_file, self.ticks_file, *self.folder.glob("agent-*")]:
            if path.exists():
                path.rename(self.folder / f"done-{self._cleared}-{path.name}")

    def _stop_builds(self, master: BuildMaster) -> None:
        """Also those that run again because their agent went meanwhile."""

        def stopped() -> bool:
            for row in master.get("/builds?complete=false")["builds"]:
                master.call(f"/builds/{row['buildid']}", "stop", reason="the test is over")
            return not master.get("/buildrequests?complete=false")["buildrequests"]

        wait_for(stopped, 60, lambda: f"no build is left:\n{master.log()[-3000:]}", every=1)

    # -- commands -----------------------------------------------------------------------------------------------------

    def command(
        self, name: str, *, seconds: float = 0, size: int = 0, tick: bool = False, until: Path | None = None
    ) -> list[str]:
        """argv of one command of `work.py`, which ends after `seconds`, and not before the file `until` exists."""
        argv = [sys.executable, work.__file__, str(self.marks_file), name]
        argv += ["--seconds", str(seconds), "--size", str(size)]
        argv += ["--until", str(until)] if until is not None else []
        return [*argv, "--tick", str(self.ticks_file)] if tick else argv

    def step(self, name: str, **what: Any) -> str:
        """A ShellCommand of `command`, as it stands in a master.cfg. Its timeout is Buildbot's default."""
        return f"steps.ShellCommand(name={name!r}, command={self.command(name, **what)!r}, logEnviron=False)"

    def three_steps(self, *, seconds: float, size: int = 2000, **more: Any) -> str:
        """first, work (long), last: the arguments of `builder(…)`."""
        return f"{self.step('first')}, {self.step('work', seconds=seconds, size=size, **more)}, {self.step('last')}"

    def column(self, *, builder: str = "b", column: str = "gtk", workers: int = 2, steps: str, more: str = "") -> str:
        """A column of slots that need `column`, and a builder on it."""
        slots = f"{column}_slots"
        return (
            f"{slots} = worker.amqp_column({column!r}, workers={workers}, requires=[{column!r}]{more})\n"
            f"c['workers'] += {slots}\n"
            f"builder({builder!r}, {slots}, {steps})\n"
        )

    @property
    def ticks_file(self) -> Path:
        return self.folder / "ticks"

    def marks(self, path: Path | None = None) -> list[Mark]:
        path = path or self.marks_file
        if not path.exists():
            return []
        found = []
        for text in path.read_text().splitlines():
            name, what, agent, moment = text.split()
            found.append(Mark(name=name, what=what, agent=agent, time=float(moment)))
        return found

    def ran(self) -> list[str]:
        """What ran, in order: `first begin`, `first end`, …"""
        return [f"{mark.name} {mark.what}" for mark in self.marks()]

    def wait_mark(self, name: str, what: str, *, agent: str | None = None, timeout: float = 30, count: int = 1) -> Mark:
        """The `count`th mark of this name (and agent)."""

        def look() -> Mark | None:
            found = [m for m in self.marks() if (m.name, m.what) == (name, what) and agent in (None, m.agent)]
            return found[count - 1] if len(found) >= count else None

        return wait_for(look, timeout, lambda: f"{name} {what} of {agent}: {self.story()}", every=0.02)

    # -- questions ----------------------------------------------------------------------------------------------------

    def processes(self, besides: Sequence[Agent] = ()) -> list[psutil.Process]:
        """All processes that agents of this lab started, themselves included; `besides`: agents that may be there, and
        with each a keeper that waits for a session, and its ssh."""
        allowed = {agent.pid for agent in besides}
        return processes.marked(
            self.mark, allowed.union(*map(processes.waiting_keepers, allowed), *map(processes.wires, allowed))
        )

    def processes_of(self, agent: Agent, besides: Sequence[Agent] = ()) -> list[psutil.Process]:
        """All processes of one agent: its own, its keepers', its commands'; `besides` as for `processes`."""
        own = []
        for process in self.processes(besides):
            try:
                if process.environ().get("FAULTS_AGENT") == agent.name:
                    own.append(process)
            except psutil.Error:
                continue
        return own

    def wait_no_process(self, timeout: float = 15, agent: Agent | None = None) -> None:
        """Nothing but the running agents themselves is left (of one agent: nothing but itself)."""
        running = [agent for agent in self.agents if agent.running]

        def left() -> list[psutil.Process]:
            return self.processes(running) if agent is None else self.processes_of(agent, running)

        wait_for(lambda: not left(), timeout, lambda: f"no process left:\n{processes.describe(left())}")

    def queues(self) -> dict[str, int]:
        """Messages of each queue, ready and unacknowledged."""
        if self.way.folder is not None:
            return {queue["name"]: queue["ready"] + (queue["held"] or 0) for queue in self.asked("queues")}
        text = self.node.ctl("list_queues", "-p", self.vhost, "name", "messages", "--no-table-headers", "--silent")
        return {name: int(number) for name, number in (line.rsplit(None, 1) for line in text.splitlines() if line)}

    def told(self, *command: str) -> str:
        """What `master-bridge COMMAND` prints here."""
        folder = self.way.folder
        where = ["--url", self.url] if folder is None else ["--master-dir", str(folder)]
        program = str(Path(sys.executable).with_name("master-bridge"))
        return subprocess.run(
            [program, *command, *where], capture_output=True, text=True, check=True, env=program_environment()
        ).stdout

    def asked(self, *command: str) -> Any:
        """As `told`, with `--json`."""
        return json.loads(self.told(*command, "--json"))

    def wait_nothing_left(self, timeout: float = 30) -> None:
        """No process, no session folder, no message, no queue of an agent that is gone."""
        self.wait_no_process(timeout)
        wait_for(lambda: not self.sessions(), timeout, lambda: f"session folders removed: {self.sessions()}")
        count = len([agent for agent in self.agents if agent.running])
        seen: dict[str, int] = {}

        def empty() -> bool:
            seen.clear()
            seen.update(self.queues())
            told = self.way.folder is None  # a master that is its own broker has no queues of agents
            agents = len([name for name in seen if name.startswith("agent.")]) if told else count
            return not any(seen.values()) and agents == count

        wait_for(empty, timeout, lambda: f"queues empty, {count} agents': {seen}", every=0.5)

    def taken_back(self) -> int:
        """How often agents have seen the broker take an offer back, by closing its channel or cancelling a consumer."""
        logs = [agent.log() for agent in self.agents]
        return sum(log.count("offer_channel_closed") + log.count("consumer_cancelled_by_broker") for log in logs)

    def sessions(self) -> list[Path]:
        """Of the agents that run; what a dead one left is looked after by its next start."""
        running = [agent for agent in self.agents if agent.running]
        return [path for agent in running for path in agent.folder.glob("state/sessions/*")]

    def settle(self, master: BuildMaster) -> None:
        """Until the longer grace after the bridge's link came up is over (rule 10)."""
        since = self._linked[master]
        wait_for(lambda: time.monotonic() > since + LINK_UP_SETTLING + 1, LINK_UP_SETTLING + 5, "settled")

    def check_text(self, master: BuildMaster, build: Build, step: str, size: int, stream: str = "o") -> None:
        """The step's log is, byte for byte, what `work.py --size SIZE` printed."""
        expected, printed = hashlib.sha256(), 0
        for piece in work.pieces(size):
            expected.update(piece)
            printed += len(piece)
        found, length = hashlib.sha256(), 0
        for lines in self.log_lines(master, build, step):
            data = "".join(line[1:] for line in lines if line[:1] == stream).encode()
            found.update(data)
            length += len(data)
        assert (length, found.hexdigest()) == (printed, expected.hexdigest()), (
            f"log of {step}: {length} bytes, printed were {printed}"
        )

    def log_lines(self, master: BuildMaster, build: Build, step: str, name: str = "stdio") -> Iterator[list[str]]:
        """Lines of a log with their stream letters, some at a time."""
        logs = master.get(f"/steps/{build.steps[step]['stepid']}/logs")["logs"]
        log = next(log for log in logs if log["name"] == name)
        for offset in range(0, log["num_lines"], _LINES):
            answer = master.get(f"/logs/{log['logid']}/contents?offset={offset}&limit={_LINES}")
            yield answer["logchunks"][0]["content"].splitlines(keepends=True)

    def story(self) -> str:
        """For a failed test."""
        parts = [self.marks_file.read_text() if self.marks_file.exists() else "(no marks)"]
        parts += [f"--- master {master.name}\n{master.log()[-5000:]}" for master in self.masters]
        parts += [f"--- agent {agent.name}\n{agent.log()[-4000:]}" for agent in self.agents]
        return "\n".join(parts)
