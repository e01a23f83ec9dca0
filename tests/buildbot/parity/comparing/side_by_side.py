"""One master, three workers (PB, msgpack, AMQP), and each factory once on each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from contracts.testing.rabbitmq.ports import free_ports
from tests.buildbot.parity.comparing.picture import BuildPicture, Painter
from tests.buildbot.parity.comparing.reference_worker import MSGPACK, PB, ReferenceWorker
from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.ways import Way

RUNS = ("pb", "msgpack", "amqp")
#: Seconds that builds may take: many run at once, and on a busy machine Buildbot takes seconds a step.
PATIENCE = 300.0
#: Builds that a worker runs at the same time.
WIDTH = 3
#: Before workers and agents where tests run as root: for them too a file's mode decides who may read and write it.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner") if os.geteuid() == 0 else ()

#: `rm` and `cp` that do what is named "…slow" when the file `go` is there, so that there is something to stop.
_SLOW = """#!/bin/sh
case "$*" in *slow) until [ -e "${{0%/*}}/go" ]; do sleep .1; done ;; esac
PATH=${{PATH#*:}} exec {tool} "$@"
"""
_HEAD = """
import os
c['protocols'] = {{'pb': {{'port': 'tcp:{pb}:interface=127.0.0.1'}},
                  'msgpack_experimental_v7': {{'port': {msgpack}}}}}
of_all = dict(properties={{'of_worker': 'given'}}, defaultProperties={{'of_worker_too': [1, 'x']}},
              locks=[util.MasterLock('of workers', maxCount=50).access('counting')])
c['workers'] = [worker.Worker('w-pb', 'password', max_builds={width}, **of_all),
                worker.Worker('w-msgpack', 'password', max_builds={width}, **of_all)]
c['workers'] += worker.amqp_column('w-amqp', workers={width}, requires=['os==linux'], **of_all)
ON = {{'pb': ['w-pb'], 'msgpack': ['w-msgpack'], 'amqp': [f'w-amqp-{{n + 1}}' for n in range({width})]}}
OUT = {out!r}
os.makedirs(OUT, exist_ok=True)
def each(name, *step_list, **kwargs):
    "The same steps on each worker: builders name@pb, name@msgpack, name@amqp."
    for run in RUNS:
        c['builders'].append(util.BuilderConfig(
            name=f'{{name}}@{{run}}', workernames=ON[run], workerbuilddir=name,
            factory=BuildFactory(step_list), properties={{'run': run}}, **kwargs))
def out(path):
    "A file of the master's own for each of the three."
    return util.Interpolate(OUT + '/%(prop:buildername)s/' + path)
"""


class SideBySide:
    """The machines. `add(config)` gives the running master more builders; `folder/out` is its `OUT`."""

    def __init__(
        self,
        folder: Path,
        make_way: Callable[[Path], Way],
        database: Path,
        *,
        agent_options: Sequence[str] = (),
        width: int = WIDTH,
    ) -> None:
        self.folder = folder
        self.way = make_way(folder / "master")
        self.out = folder / "out"
        self.tools = folder / "tools"
        self.tools.mkdir()
        for tool in ("rm", "cp"):
            (self.tools / tool).write_text(_SLOW.format(tool=tool))
            (self.tools / tool).chmod(0o755)
        entrance = self.way.entrance()
        path = entrance.environment.get("PATH", os.environ["PATH"])
        environment = {**entrance.environment, "PATH": f"{self.tools}:{path}"}
        pb, msgpack = free_ports(2)
        self._config = _HEAD.format(pb=pb, msgpack=msgpack, width=width, out=str(self.out))
        self.master = BuildMaster(folder / "master", self._config, url=self.way.master(folder / "master"))
        self.master.create(database)
        self.master.patience = self.master.start_patience = PATIENCE
        self.agent = Agent(
            folder / "agent", entrance.url, name="agent", slots=width, capabilities=["os=linux"], prefix=UNPRIVILEGED,
            environment=environment,
            options=[
                "--admin", "Ada <ada@example.org>", "--host", "a test machine",
                "--access-uri", "ssh://test.example.org", *agent_options,
            ],
        )  # fmt: skip
        self.workers = [
            ReferenceWorker(
                folder / run, name=f"w-{run}", protocol=protocol, port=port, prefix=UNPRIVILEGED,
                environment=environment,
            )
            for run, protocol, port in (("pb", PB, pb), ("msgpack", MSGPACK, msgpack))
        ]  # fmt: skip
        self.painter = Painter(self.master)

    def add(self, config: str, runs: Sequence[str] = RUNS) -> Builders:
        """More of master.cfg, which calls `each(name, steps…)`; the names are those of no builder that is there."""
        self._config += f"\nRUNS = {tuple(runs)!r}\n{config}"
        if self.master.running:
            self.master.reconfigure(self._config)
        else:
            self.master.write_config(self._config)
            self.start()
        return Builders(self, runs)

    def start(self) -> None:
        self.master.start(wait=False)
        for each in self.workers:
            each.start()
        self.agent.start()
        self.master.wait_started()
        self.master.wait_linked()

    def stop(self) -> None:
        self.agent.stop(timeout=5)
        for each in self.workers:
            each.stop()
        self.master.kill()


class Builders:
    """What one module has added. `run(names)` gives {name: {run: picture}}."""

    def __init__(self, machines: SideBySide, runs: Sequence[str]) -> None:
        self.machines = machines
        self.master, self.painter, self.out = machines.master, machines.painter, machines.out
        self.runs = tuple(runs)

    def build(self, names: Sequence[str], timeout: float = PATIENCE) -> dict[str, dict[str, Build]]:
        """Run these factories on all workers, at the same time."""
        requests = {(name, run): self.master.force(f"{name}@{run}") for name in names for run in self.runs}
        deadline = time.monotonic() + timeout
        builds: dict[str, dict[str, Build]] = {}
        for (name, run), request in requests.items():
            left = max(1.0, deadline - time.monotonic())
            builds.setdefault(name, {})[run] = self.master.finished(request, left)
        return builds

    def run(self, names: Sequence[str], timeout: float = PATIENCE) -> dict[str, dict[str, BuildPicture]]:
        return {
            name: {run: self.painter.paint(build) for run, build in runs.items()}
            for name, runs in self.build(names, timeout).items()
        }
