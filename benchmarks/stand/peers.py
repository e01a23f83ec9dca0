"""The peers of a comparison: each one a master and its workers, on the same machine and the same builders."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.report.figures import Wrong
from benchmarks.stand import configuration
from benchmarks.stand.processes import settle, tree
from contracts.testing.child import Child
from tests.harness.agents import Agent, stop_all_at_once
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import OverRabbitMQ, Way, office

#: Ours over a master's own door, by the wire's name. "ours" is over RabbitMQ.
WIRES = ("amp", "zmq", "ssh")
#: Peers in the order of the tables.
NAMES = ("PB", "PB-nodelay", "msgpack", "ours", *WIRES)
#: Those that a run has unless others are named.
USUAL = tuple(name for name in NAMES if name not in ("zmq", "ssh"))
WORKERS = 8
#: As many there are for the builder `fanout`.
CROWD = 24
_WORKER_NAMES = tuple(f"w{number}" for number in range(CROWD))
#: Seconds for the end of a build that is given up.
_END = 120.0
_TWISTD = "from twisted.scripts.twistd import run; run()"


class OwnWorker:
    """Buildbot's own worker as a child process."""

    def __init__(self, folder: Path, name: str, port: int, protocol: str, extra: Sequence[str]) -> None:
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "buildbot.tac").write_text(configuration.worker_tac(folder, name, port, protocol, extra))
        self._child: Child | None = None

    def start(self) -> OwnWorker:
        command = [sys.executable, "-c", _TWISTD, "--nodaemon", "--no_save", "--pidfile="]
        command += ["--logfile=twistd.log", "--python=buildbot.tac"]
        self._child = Child(command, output=self.folder / "stdout.log", folder=self.folder)
        return self

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def stop(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGKILL)


class OurAgent(Agent):
    """`worker-agent`; `ready` when it consumes."""

    @property
    def ready(self) -> bool:
        return self.is_ready()

    def is_ready(self, since: int = 0) -> bool:
        """It has said so in its log, after its first `since` characters."""
        log = self.log()[since:]
        return "queues" in log and "link_up" in log


class Peer:
    """One master with up to 24 workers. `run` runs a builder once and returns the finished build.

    `database`: of SQLite, a file to copy; of PostgreSQL, an empty one's URL.

    `documented`: agents run as README starts them, with `--auto-capabilities`.
    """

    def __init__(
        self, name: str, folder: Path, url: str, database: Path | str, builders: dict[str, object], *, documented: bool
    ) -> None:
        self.name = name
        self.folder = folder
        self._documented = documented
        workers = configuration.OUR_WORKERS if self.ours else configuration.PB_WORKERS
        if name == "msgpack":
            workers = configuration.MSGPACK_WORKERS
        if name == "PB-nodelay":
            workers = configuration.NODELAY + workers
        folder.mkdir(parents=True)
        text = "" if isinstance(database, Path) else f"c['db'] = {{'db_url': {database!r}}}\n"
        text += configuration.configuration(workers, folder, count=WORKERS, crowd=CROWD, **builders)  # type: ignore[arg-type]
        way: Way = office(name, folder / "master") if name in WIRES else OverRabbitMQ(url)
        self._way = way
        self._entrance = way.entrance()
        masters_url = way.master(folder / "master") if self.ours else None
        self.master = BuildMaster(folder / "master", text, url=masters_url, name=f"bench-{name}")
        self.master.create(database if isinstance(database, Path) else None)
        self.workers: list[OwnWorker | OurAgent] = []
        #: monotonic seconds at which its master was up
        self.up_since = 0.0
        #: monotonic seconds since which its one worker has had nothing to do after its first build; None: it is not so
        self.fresh_since: float | None = None

    @property
    def ours(self) -> bool:
        return self.name == "ours" or self.name in WIRES

    def start(self) -> None:
        self.master.start(wait=False)

    def wait(self) -> None:
        self.master.wait_started()
        if self.ours:
            self.master.wait_linked()
        self.up_since = time.monotonic()

    def have_workers(self, count: int, module: str = "worker_agent", *, documented: bool | None = None) -> None:
        """Exactly `count` workers run and are connected. `module`: of new agents' program. `documented`: these ones."""
        self.fresh_since = None
        surplus, self.workers[count:] = self.workers[count:], []
        self._end(*surplus)
        made = []
        while len(self.workers) < count:
            taken = {worker.name for worker in self.workers}
            name = next(name for name in _WORKER_NAMES if name not in taken)
            made.append(self._make(name, module, self._documented if documented is None else documented))
            self.workers.append(made[-1])
        if made and self.ours:
            ready = lambda: all(worker.ready for worker in made if isinstance(worker, OurAgent))  # noqa: E731
            wait_for(ready, 60, "the agents consume", every=0.02)
        elif made:
            wait_for(
                lambda: sum(bool(row["connected_to"]) for row in self.master.get("/workers")["workers"]) >= count,
                60,
                lambda: f"{count} workers of {self.name} at their master: {made[-1].folder}",
                every=0.02,
            )

    def renew(self) -> None:
        """One new worker, which has had one build: what happens once in its life is over."""
        self.have_workers(0)
        self.have_workers(1)
        self.run("dispatch")
        self.fresh_since = time.monotonic()

    def restart(self, worker: OwnWorker | OurAgent) -> float:
        """End one of our agents and start it anew in its folder. Seconds from its start until it takes work."""
        assert isinstance(worker, OurAgent)
        self._end(worker)
        before = len(worker.log())
        began = time.monotonic()
        worker.start()
        wait_for(lambda: worker.is_ready(before), 60, "the agent consumes", every=0.02)
        return time.monotonic() - began

    def _make(self, name: str, module: str, documented: bool) -> OwnWorker | OurAgent:
        folder = self.folder / f"worker-{name}-{time.monotonic_ns()}"
        if self.ours:
            program = (sys.executable, "-m", module)
            agent = OurAgent(
                folder,
                self._entrance.url,
                name=name,
                environment=self._entrance.environment,
                capabilities=["bench"],
                auto_capabilities=documented,
                program=program,
            )
            agent.start()
            return agent
        protocol = "msgpack_experimental_v7" if self.name == "msgpack" else "pb"
        extra = [configuration.NODELAY] if self.name == "PB-nodelay" else []
        return OwnWorker(folder, name, self.master.pb_port, protocol, extra).start()

    @staticmethod
    def _end(*workers: OwnWorker | OurAgent) -> None:
        """At once, all of them at the same time: what they hold is given back."""
        stop_all_at_once([worker for worker in workers if isinstance(worker, OurAgent)], 10)
        for worker in workers:
            if not isinstance(worker, OurAgent):
                worker.stop()

    @property
    def pids(self) -> list[int]:
        return [pid for root in (self.master, *self.workers) for pid in tree(root.pid)]

    def settle(self) -> None:
        settle(self.pids)

    def run(self, builder: str, timeout: float = 300.0) -> Build:
        build = self.finished(self.master.force(builder), timeout)
        if build.result != "SUCCESS":
            raise Wrong(f"{builder} on {self.name} ended as {build.result}")
        return build

    def finished(self, request: int, timeout: float) -> Build:
        """The last build of `request` when it is complete; asked for seldom, since each answer costs the master 5 ms of
        the time that is measured."""
        self.fresh_since = None
        complete = lambda: self.master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"]  # noqa: E731
        wait_for(complete, timeout, lambda: f"request {request} complete: {self.master.describe(request)}", every=0.5)
        return self.master.builds(request)[-1]

    def give_up(self, request: int) -> None:
        """End it for good: Buildbot would begin it again for ever, and all that is measured afterwards would have its
        worker, and a part of the machine, in it."""
        self.master.wait_started()
        workers = len(self.workers)
        self.have_workers(0)
        running = lambda: any(build.result == "RUNNING" for build in self.master.builds(request))  # noqa: E731
        wait_for(lambda: not running(), _END, "the build has lost its worker")
        complete = lambda: self.master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"]  # noqa: E731
        if not complete():
            self.master.call(f"/buildrequests/{request}", "cancel", reason="given up")
        wait_for(complete, _END, "it is cancelled")
        self.have_workers(workers)

    def output(self, build: Build, step: str) -> str:
        """What a step printed so far; "" before it has a log."""
        logs = self.master.get(f"/steps/{build.steps[step]['stepid']}/logs")["logs"]
        return self.master.output(build, step) if logs else ""

    def tree_of(self, worker: OwnWorker | OurAgent) -> list[int]:
        return tree(worker.pid)

    def command_pids(self, text: str) -> list[int]:
        """Processes of this peer's workers whose command line contains `text`, the oldest first."""
        found = []
        for worker in self.workers:
            for pid in tree(worker.pid)[1:]:
                try:
                    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if text in line:
                    found.append(pid)
        return sorted(found)

    def stamps(self, request: int) -> list[tuple[str, str, float]]:
        """(step, what, monotonic seconds) of a build request, in the order in which they happened."""
        rows = map(json.loads, (self.master.folder / "stamps").read_text().splitlines())
        return [(step, what, at) for found, step, what, at in rows if found == request]

    def stop(self) -> None:
        self._end(*self.workers)
        self.workers.clear()
        self.master.stop(20)
        self._way.close()


def end_tree(pid: int) -> None:
    """SIGKILL to a process and all its descendants at once: the machine is gone.

    They are stopped before, the first one first: on a busy machine it would else see that its command was killed, and
    tell the master so.
    """
    for number, order in ((signal.SIGSTOP, iter), (signal.SIGKILL, reversed)):
        for found in order(tree(pid)):
            with suppress(ProcessLookupError):
                os.kill(found, number)
