"""How builds are put together: triggers, locks, steps made by steps, virtual builders, what the worker tells."""
# ruff: noqa: E501  # the pieces of master.cfg have lines of their own

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide
from tests.harness.master import Build

CONFIG = r"""
from buildbot.process.results import SUCCESS, WARNINGS
from buildbot.process import buildstep, properties
from twisted.internet import defer
S = steps.ShellCommand
GO = dict(haltOnFailure=False, flunkOnFailure=False)

each('inner', S(name='inner', command=['echo', util.Interpolate('%(prop:given)s %(prop:kept)s')]))
each('inner-fails', S(name='inner', command='exit 1'))
for run in RUNS:
    c['schedulers'] += [schedulers.Triggerable(name='good@' + run, builderNames=['inner@' + run]),
                        schedulers.Triggerable(name='bad@' + run, builderNames=['inner-fails@' + run])]
def trigger(name, scheduler, **kwargs):
    return steps.Trigger(name=name, schedulerNames=[util.Interpolate(scheduler + '@%(prop:run)s')], **kwargs)
each('trigger',
    S(name='before', command='true'),
    trigger('waits', 'good', waitForFinish=True, set_properties={'given': util.Property('buildnumber'), 'kept': 'k'}),
    trigger('waits for failure', 'bad', waitForFinish=True, **GO),
    S(name='after', command='echo still here'),
)

once = util.MasterLock('one at a time')
shared = util.WorkerLock('shared', maxCount=1)
each('locks',
    S(name='master lock', command='echo in', locks=[once.access('exclusive')]),
    S(name='worker lock', command='echo in', locks=[shared.access('exclusive')]),
    S(name='counting', command='echo in', locks=[once.access('counting'), shared.access('counting')]),
    locks=[util.WorkerLock('of the build').access('exclusive')],
)

class Generate(buildstep.ShellMixin, buildstep.BuildStep):
    def __init__(self, **kwargs):
        kwargs = self.setupShellMixin(kwargs)
        super().__init__(**kwargs)
    @defer.inlineCallbacks
    def run(self):
        cmd = yield self.makeRemoteShellCommand(collectStdout=True, stdioLogName='names')
        yield self.runCommand(cmd)
        self.build.addStepsAfterCurrentStep([S(name=n, command=['echo', n]) for n in cmd.stdout.split()])
        self.build.addStepsAfterLastStep([S(name='last', command='true')])
        return cmd.results()
each('generated',
    Generate(name='generate', command='echo one; echo two'),
    S(name='then', command='echo then'),
)
each('virtual', S(name='v', command=['echo', util.Interpolate('%(prop:buildername)s')]))
for b in c['builders'][-len(RUNS):]:
    b.properties.update(virtual_builder_name='virtual of ' + b.name, virtual_builder_tags=['virtual'])
each('texts',
    S(name='renders', command=['echo', util.Interpolate('%(worker:numcpus)s %(kw:x)s %(prop:none:-default)s', x='1')]),
    S(name='worker property', command=['echo', util.Property('of_worker', default='none')]),
    S(name='environment', command='echo $GIVEN', env={'GIVEN': util.Interpolate('%(prop:workername)s')}),
    steps.Assert(1 == 1, name='assert'),
    steps.SetProperties(name='several', properties={'a': 1, 'b': ['x', None], 'c': {'d': 2.5}}),
    steps.LogRenderable(name='log', content=util.Interpolate('%(prop:b)s')),
    steps.MasterShellCommand(name='on the master', command='echo master'),
    env={'GIVEN': 'overridden', 'BUILDER': '1'},
)
class Remote(buildstep.BuildStep):
    @defer.inlineCallbacks
    def run(self):
        log = yield self.addLog('told')
        yield log.addStdout('\n'.join([
            'version ' + str(self.workerVersion('shell')), 'none ' + str(self.workerVersion('fly')),
            'older ' + str(self.workerVersionIsOlderThan('uploadDirectory', '2.0')), 'os ' + str(self.worker.worker_system),
            'path ' + self.worker.path_module.__name__, 'environ ' + str('PATH' in self.worker.worker_environ),
            'commands ' + ' '.join(sorted(n for n in self.worker.worker_commands if '_' not in n))]) + '\n')
        return SUCCESS
each('worker', Remote(name='asks'))
c['builders'][-1].factory.addStep(S(name='of the worker', command=['echo', util.Interpolate('%(worker:capabilities)s')]))
"""
NAMES = ("trigger", "locks", "generated", "virtual", "texts", "worker")
ONLY_OURS = {"of the worker"}
RUNS = ("pb", "amqp")


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


@pytest.fixture(scope="module")
def builds(side: Builders) -> dict[str, dict[str, Build]]:
    return side.build(NAMES)


@pytest.fixture(scope="module")
def pictures(side: Builders, builds: dict[str, dict[str, Build]]) -> dict[str, dict[str, BuildPicture]]:
    return {name: {run: side.painter.paint(build) for run, build in runs.items()} for name, runs in builds.items()}


@pytest.mark.parametrize("name", NAMES)
def test_builds_are_put_together_the_same(name: str, pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """Results, texts, properties and logs, line by line."""
    ours = pictures[name]["amqp"]
    ours = replace(ours, steps=tuple(step for step in ours.steps if step.name not in ONLY_OURS))
    found = differences(pictures[name]["pb"], ours)
    assert not found, "\n".join(found)
    assert pictures[name]["amqp"].result == "SUCCESS"


def test_the_worker_tells_about_itself(side: Builders, builds: dict[str, dict[str, Build]]) -> None:
    """What people wrote about the machine is in the build's first step, with what it can do; the worker is a place."""
    properties = side.master.properties(builds["worker"]["amqp"])
    theirs = side.master.worker("w-pb")["workerinfo"]
    log = side.master.step_log(builds["worker"]["amqp"], "worker_preparation", "agent")
    ours = dict(line.split(": ", 1) for line in log.splitlines() if ": " in line)
    told = {name: value.strip() for name, value in theirs.items() if value and name != "version"}
    assert told == {name: ours[name] for name in told}
    assert "admin" in told
    assert ours["version"]
    assert side.master.worker(str(properties["workername"]))["workerinfo"]["host"].startswith("not a machine")
    assert properties["agent"] == "agent"
    assert properties["agent_instance"]
    assert properties["capabilities"]["os"] == "linux"
    assert "'os': 'linux'" in side.master.output(builds["worker"]["amqp"], "of the worker")
