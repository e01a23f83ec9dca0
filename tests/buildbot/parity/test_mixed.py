"""One builder whose builds run on PB, msgpack and AMQP workers in turn: nobody sees on which."""
# ruff: noqa: E501  # the pieces of master.cfg have lines of their own

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.ports import free_ports
from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture, Painter
from tests.buildbot.parity.comparing.reference_worker import MSGPACK, PB, ReferenceWorker
from tests.buildbot.parity.comparing.side_by_side import PATIENCE, RUNS, Builders, SideBySide
from tests.buildbot.parity.test_file_steps import files
from tests.harness.agents import Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

CONFIG = r"""
S = steps.ShellCommand
GO = dict(haltOnFailure=False, flunkOnFailure=False)
def mine(path):
    return util.Interpolate(OUT + '/mixed-%(prop:run)s/' + path)
with open(OUT + '/mixed-source', 'wb') as f:
    f.write(bytes(range(256)) * 1000)
def wanted(builder, wfb, request):
    return wfb.worker.workername in ON[request.properties.getProperty('run')]
def any_worker(name, *step_list, **kwargs):
    c['builders'].append(util.BuilderConfig(name=name, workernames=sum(ON.values(), []), workerbuilddir=name,
        canStartBuild=wanted, collapseRequests=False, factory=BuildFactory(step_list), **kwargs))
any_worker('mixed-inner', S(name='inner', command=['echo', util.Property('given')]))
c['schedulers'] += [
    schedulers.Triggerable(name='mixed-inner', builderNames=['mixed-inner']),
    schedulers.ForceScheduler(name='wanted', builderNames=['mixed'], properties=[util.StringParameter(name='run')]),
]
once = util.MasterLock('one mixed at a time')
any_worker('mixed',
    S(name='text', command='echo out; sleep .2; echo err >&2; sleep .2; echo $((1+1)) $A', env={'A': ['x', 'y']}),
    S(name='fails', command=['sh', '-c', 'exit 3'], **GO),
    S(name='silent', command='echo begin; sleep 30', timeout=1, **GO),
    S(name='log file', command='echo one > l.log; echo two >> l.log', logfiles={'extra': 'l.log'}, workdir='other'),
    S(name='stdin', command='cat', initialStdin='some\ntext\n', locks=[once.access('exclusive')]),
    steps.ShellSequence(name='sequence', commands=[
        util.ShellArg(command=['echo', 'one'], logname='first'),
        util.ShellArg(command='echo two; exit 1', logname='second', warnOnFailure=True)]),
    steps.SetPropertyFromCommand(name='set', command='printf "value\\n"', property='got'),
    S(name='uses', command=['echo', util.Interpolate('%(prop:got)s %(worker:admin)s')]),
    S(name='make', command='mkdir -p d/e; echo 1 > d/one; echo 2 > d/e/two; head -c 70000 /dev/zero > f'),
    steps.FileUpload(name='up', workersrc='f', masterdest=mine('f')),
    steps.FileUpload(name='up missing', workersrc='nothing', masterdest=mine('nothing'), **GO),
    steps.DirectoryUpload(name='tree', workersrc='d', masterdest=mine('tree'), compress='gz'),
    steps.MultipleFileUpload(name='many', workersrcs=['f', 'd'], masterdest=mine('many')),
    steps.MakeDirectory(name='mkdir', dir='build/new/deep'),
    steps.CopyDirectory(name='copy', src='build/d', dest='build/copy'),
    steps.FileExists(name='exists', file='build/copy/e/two'),
    steps.RemoveDirectory(name='remove', dir='build/copy'),
    steps.FileExists(name='is gone', file='build/copy/e/two', **GO),
    steps.Trigger(name='trigger', schedulerNames=['mixed-inner'], waitForFinish=True,
        set_properties={'run': util.Property('run'), 'given': util.Property('got')}),
    # Buildbot 4.3 answers a msgpack worker that downloads with nothing: its file would be empty
    steps.FileDownload(name='down', mastersrc=OUT + '/mixed-source', workerdest='down',
        doStepIf=lambda step: step.getProperty('run') != 'msgpack'),
    S(name='down arrived', command='cksum < down', doStepIf=lambda step: step.getProperty('run') != 'msgpack'),
    S(name='look', command='find . ../other -type f ! -name down | sort'),
)
"""
#: Steps that msgpack workers leave out.
DOWNLOADS = {"down", "down arrived"}
EXAMPLE = Path(__file__).parents[3] / "examples" / "side-by-side" / "master.cfg"
KINDS = {"old-machine": "pb", "newer-machine": "msgpack", "linux": "amqp"}


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG)


def test_one_builder_serves_builds_on_all_three(side: Builders) -> None:
    """The same steps, states, properties, logs and files, whichever worker the builder had for the build."""
    master = side.master
    requests = {run: forced(master, "wanted", "mixed", run=run) for run in RUNS}
    builds = {run: master.finished(request) for run, request in requests.items()}
    workers = {run: str(master.properties(build)["workername"]) for run, build in builds.items()}
    assert {run: name.split("-")[1] for run, name in workers.items()} == {run: run for run in RUNS}
    assert len({build.row["builderid"] for build in builds.values()}) == 1
    pictures = {run: numberless(side.painter.paint(build)) for run, build in builds.items()}
    ours = pictures["amqp"]
    assert [step.name for step in ours.steps if step.result not in ("SUCCESS", "WARNINGS")] == [
        "fails", "silent", "sequence", "up missing", "is gone",
    ], master.describe(requests["amqp"])  # fmt: skip
    found = differences(pictures["pb"], ours)
    assert not found, "\n".join(found)
    found = differences(without(pictures["msgpack"], DOWNLOADS), without(pictures["amqp"], DOWNLOADS))
    assert not found, "\n".join(found)
    assert len(files(side.out / "mixed-amqp")) > 8
    for run in RUNS:
        assert files(side.out / f"mixed-{run}") == files(side.out / "mixed-amqp")


@pytest.mark.long
def test_the_example_runs_with_its_three_kinds_of_workers(example: Example) -> None:
    """examples/side-by-side: its builder `mixed` has builds on all three, `chosen` follows the person, logs are equal."""
    master = example.master
    waiting = []
    for _ in range(4):  # slots first, though there is no agent yet; two requests that nobody has begun become one
        waiting.append(master.force("mixed"))
        assert example.kind(master.started(waiting[-1])) == "amqp"
    served = {}
    for _ in range(2):
        build = master.finished(master.force("mixed"))
        name = str(master.properties(build)["workername"])
        served[KINDS[name]] = build
        master.call(f"/workers/{master.worker(name)['workerid']}", "pause", reason="the other one, please")
        wait_for(lambda name=name: master.worker(name)["paused"], 60, f"{name} paused")  # type: ignore[misc]
    assert set(served) == {"pb", "msgpack"}
    for name in ("old-machine", "newer-machine"):
        master.call(f"/workers/{master.worker(name)['workerid']}", "unpause")
    example.agent.start()
    builds = [*served.values(), *(master.finished(request) for request in waiting)]
    painter = Painter(master)
    reference, *others = (numberless(painter.paint(build)) for build in builds)
    assert reference.result == "SUCCESS"
    for other in others:
        found = differences(reference, other)
        assert not found, "\n".join(found)
    for name, kind in KINDS.items():
        request = forced(master, "force", "chosen", on=name)
        build = master.finished(request)
        assert (build.result, example.kind(build)) == ("SUCCESS", kind), master.describe(request)
        assert master.output(build, "hello") == "hello from a build\n"


class Example:
    """The example's master as it stands, with the workers that it names."""

    def __init__(self, folder: Path, way: Way, database: Path) -> None:
        pb, msgpack = free_ports(2)
        self.master = ExampleMaster(folder / "master-m1", way.master(folder / "master-m1"), pb, msgpack)
        self.master.create(database)
        self.master.patience = self.master.start_patience = PATIENCE
        entrance = way.entrance()
        self.workers = [  # whose commands see, and log, the same environment
            ReferenceWorker(folder / name, name=name, protocol=protocol, port=port, environment=entrance.environment)
            for name, protocol, port in (("old-machine", PB, pb), ("newer-machine", MSGPACK, msgpack))
        ]
        self.agent = Agent(
            folder / "agent", entrance.url, name="agent", slots=2, capabilities=["os=linux"],
            environment=entrance.environment,
        )  # fmt: skip

    def kind(self, build: Build) -> str:
        name = str(wait_for(lambda: self.master.properties(build).get("workername"), PATIENCE, "a worker's name"))
        return KINDS[name] if name in KINDS else KINDS[name.rpartition("-")[0]]


class ExampleMaster(BuildMaster):
    """Its settings are in the environment, as the example says."""

    def __init__(self, folder: Path, url: str, pb: int, msgpack: int) -> None:
        self._ports = {"PB_PORT": f"tcp:{pb}:interface=127.0.0.1", "MSGPACK_PORT": str(msgpack)}
        super().__init__(folder, EXAMPLE.read_text(), url=url)

    def write_config(self, config: str) -> None:
        self.config = config
        (self.folder / "master.cfg").write_text(config)

    def _environment(self) -> dict[str, str]:
        www = {"WWW_PORT": f"tcp:{self.www_port}:interface=127.0.0.1", "MASTER_BRIDGE_AMQP_URL": str(self.url)}
        return {**super()._environment(), **self._ports, **www}


@pytest.fixture
def example(tmp_path: Path, way: Way, master_database: Path) -> Iterator[Example]:
    made = Example(tmp_path, way, master_database)
    try:
        made.master.start(wait=False)
        for worker in made.workers:
            worker.start()
        made.master.wait_started()
        made.master.wait_linked()
        for name in ("old-machine", "newer-machine"):
            wait_for(lambda name=name: connected(made.master, name), PATIENCE, made.master.log)  # type: ignore[misc]
        yield made
    finally:
        made.agent.stop(timeout=5)
        for worker in made.workers:
            worker.stop()
        made.master.kill()


def connected(master: BuildMaster, name: str) -> bool:
    return any(worker["name"] == name and worker["connected_to"] for worker in master.get("/workers")["workers"])


def forced(master: BuildMaster, scheduler: str, builder: str, **properties: str) -> int:
    builder_id = master.builder_id(builder)
    _buildset, requests = master.call(f"/forceschedulers/{scheduler}", "force", builderid=str(builder_id), **properties)
    return int(requests[str(builder_id)])


def numberless(picture: BuildPicture) -> BuildPicture:
    """Without what counts the builds of one builder."""
    properties = {name: value for name, value in picture.properties.items() if name != "buildnumber"}
    return replace(picture, properties=properties)


def without(picture: BuildPicture, steps: set[str]) -> BuildPicture:
    return replace(picture, steps=tuple(step for step in picture.steps if step.name not in steps))
