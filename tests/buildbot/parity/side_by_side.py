"""One master, three workers (PB, msgpack, AMQP), and each factory once on each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from contracts.testing.ports import free_ports
from tests.buildbot.parity.picture import BuildPicture, Painter
from tests.buildbot.parity.reference_worker import MSGPACK, PB, ReferenceWorker
from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster

RUNS = ("pb", "msgpack", "amqp")
#: Builds that a worker runs at the same time.
WIDTH = 3

_HEAD = """
import os
c['protocols'] = {{'pb': {{'port': 'tcp:{pb}:interface=127.0.0.1'}},
                  'msgpack_experimental_v7': {{'port': {msgpack}}}}}
c['workers'] = [worker.Worker('w-pb', 'password', max_builds={width}),
                worker.Worker('w-msgpack', 'password', max_builds={width})]
c['workers'] += worker.amqp_column('w-amqp', workers={width}, requires=['os==linux'])
ON = {{'pb': ['w-pb'], 'msgpack': ['w-msgpack'], 'amqp': [f'w-amqp-{{n + 1}}' for n in range({width})]}}
RUNS = {runs!r}
OUT = {out!r}
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
    """`config` calls `each(name, steps…)`. `run(names)` gives {name: {run: picture}}."""

    def __init__(
        self,
        folder: Path,
        url: str,
        database: Path,
        config: str,
        runs: Sequence[str] = RUNS,
        agent_options: Sequence[str] = (),
        width: int = WIDTH,
    ) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.runs = tuple(runs)
        pb, msgpack = free_ports(2)
        head = _HEAD.format(pb=pb, msgpack=msgpack, width=width, runs=self.runs, out=str(self.out))
        self.master = BuildMaster(folder / "master", head + config, url=url)
        self.master.create(database)
        self.agent = Agent(
            folder / "agent", url, name="agent", slots=width, capabilities=["os=linux"],
            options=[
                "--admin", "Ada <ada@example.org>", "--host", "a test machine",
                "--access-uri", "ssh://test.example.org", *agent_options,
            ],
        )  # fmt: skip
        self.workers = [
            ReferenceWorker(folder / run, name=f"w-{run}", protocol=protocol, port=port)
            for run, protocol, port in (("pb", PB, pb), ("msgpack", MSGPACK, msgpack))
            if run in self.runs
        ]
        self.painter = Painter(self.master)

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

    def build(self, names: Sequence[str], timeout: float = 110.0) -> dict[str, dict[str, Build]]:
        """Run these factories on all workers, at the same time."""
        requests = {(name, run): self.master.force(f"{name}@{run}") for name in names for run in self.runs}
        deadline = time.monotonic() + timeout
        builds: dict[str, dict[str, Build]] = {}
        for (name, run), request in requests.items():
            left = max(1.0, deadline - time.monotonic())
            builds.setdefault(name, {})[run] = self.master.finished(request, left)
        return builds

    def run(self, names: Sequence[str], timeout: float = 110.0) -> dict[str, dict[str, BuildPicture]]:
        return {
            name: {run: self.painter.paint(build) for run, build in runs.items()}
            for name, runs in self.build(names, timeout).items()
        }
