"""Files and folders that may not be read, written or searched: the same results, and nothing is left open or half."""
# ruff: noqa: E501  # the pieces of master.cfg have lines of their own

from __future__ import annotations

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide
from tests.buildbot.parity.test_file_steps import files

CONFIG = r"""
from buildbot.process import buildstep
from buildbot.process.results import SUCCESS
from buildbot.steps.worker import CompositeStepMixin
from twisted.internet import defer
S = steps.ShellCommand
GO = dict(haltOnFailure=False, flunkOnFailure=False)
class LooksIn(CompositeStepMixin, buildstep.BuildStep):
    "Commands that no step of Buildbot's shows alone."
    logEnviron = False
    @defer.inlineCallbacks
    def run(self):
        yield self.addLogForRemoteCommands('stdio')
        found = yield self.addLog('found')
        for name, args in (('listdir', {'dir': 'build/locked'}), ('glob', {'path': 'build/locked/*'}),
                           ('stat', {'file': 'build/locked/f'}), ('stat', {'file': 'build/closed'}),
                           ('rmfile', {'path': 'build/readonly/f'}), ('rmfile', {'path': 'build/locked/f'}),
                           ('mkdir', {'dir': 'build/locked/x'})):
            cmd = yield self.runRemoteCommand(name, args, evaluateCommand=lambda c: c, abandonOnFailure=False)
            what = cmd.updates.get('files', [None])[-1]
            yield found.addStdout('%s %s: %s %s %s\n' % (name, sorted(args.values()), cmd.rc, what, len(cmd.updates.get('stat', []))))
        text = yield self.getFileContentFromWorker('closed')
        yield found.addStdout('content %r\n' % (text,))
        return SUCCESS
SOURCE = OUT + '/unreadable-source'
with open(SOURCE, 'wb') as f:
    f.write(b'content\n')
each('unreadable',
    S(name='make', command='echo secret > closed; chmod 0 closed; mkdir locked part readonly; echo x > locked/f; '
        'echo 1 > part/a; echo 2 > part/b; chmod 0 part/b locked; echo r > readonly/f; chmod 555 readonly; '
        'echo kept > final; chmod 444 final'),
    S(name='really', command='cat closed', **GO),
    steps.FileUpload(name='up', workersrc='closed', masterdest=out('closed'), **GO),
    steps.FileUpload(name='up keepstamp', workersrc='closed', masterdest=out('stamp'), keepstamp=True, **GO),
    steps.FileUpload(name='up from locked', workersrc='locked/f', masterdest=out('locked'), **GO),
    steps.MultipleFileUpload(name='many', workersrcs=['final', 'closed'], masterdest=out('many'), **GO),
    steps.MultipleFileUpload(name='matching', workersrcs=['locked/*'], masterdest=out('matching'), glob=True, **GO),
    steps.FileDownload(name='onto closed', mastersrc=SOURCE, workerdest='closed', **GO),
    steps.FileDownload(name='onto final', mastersrc=SOURCE, workerdest='final', **GO),
    steps.FileDownload(name='into readonly', mastersrc=SOURCE, workerdest='readonly/new', **GO),
    steps.FileDownload(name='onto a file in readonly', mastersrc=SOURCE, workerdest='readonly/f', **GO),
    steps.StringDownload('text', name='into locked', workerdest='locked/new', **GO),
    steps.MakeDirectory(name='mkdir', dir='build/readonly/x', **GO),
    steps.CopyDirectory(name='copy part', src='build/part', dest='build/copy', **GO),
    steps.CopyDirectory(name='copy locked', src='build/locked', dest='build/copy2', **GO),
    steps.FileExists(name='exists', file='build/locked/f', **GO),
    LooksIn(name='looks'),
    S(name='in locked', command='pwd', workdir='build/locked', **GO),
    S(name='not executable', command=['./final'], **GO),
    S(name='left', command='ls -lA . readonly part copy | sed "s/ root .*:.. / /"; cat final readonly/f'),
    steps.RemoveDirectory(name='remove locked', dir='build/locked', **GO),
    steps.RemoveDirectory(name='remove readonly', dir='build/readonly', **GO),
    S(name='gone', command='ls -A'),
)
for name, what in (('unreadable-part', 'part'), ('unreadable-folder', 'locked')):
    each(name, S(name='make', command='mkdir -p part locked; echo 1 > part/a; echo 2 > part/b; chmod 0 part/b locked'),
        steps.DirectoryUpload(name='tree', workersrc=what, masterdest=out('tree'), **GO))
# Never readable, not even for a moment.
each('unreadable-log', S(name='log file', command='umask 777; echo 1 > log', logfiles={'extra': 'log'}))
"""
NAMES = ("unreadable", "unreadable-part", "unreadable-folder")
RUNS = ("pb", "amqp")
LISTED = {
    "unreadable": {"looks": ["last-line"], "in locked": ["traceback"], "not executable": ["traceback"]},
}


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


@pytest.fixture(scope="module")
def pictures(side: Builders) -> dict[str, dict[str, BuildPicture]]:
    return side.run(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_may_not_be_read_is_the_same(
    name: str, side: Builders, pictures: dict[str, dict[str, BuildPicture]]
) -> None:
    """Results, texts, properties and logs, line by line, and the master's files."""
    found = differences(pictures[name]["pb"], pictures[name]["amqp"], LISTED.get(name))
    assert not found, "\n".join(found)
    assert files(side.out / f"{name}@amqp") == files(side.out / f"{name}@pb")


def test_a_log_file_that_may_not_be_read_does_no_harm(side: Builders) -> None:
    """With Buildbot's own worker the step never ends: difference "unreadable-log"."""
    build = side.master.finished(side.master.force("unreadable-log@amqp"))
    assert build.result == "SUCCESS", side.master.describe(build.row["buildrequestid"])
    assert side.master.step_log(build, "log file", "extra") == ""


def test_the_machines_really_refuse(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """So that the comparison is not one of what anybody may read."""
    results = {step.name: step.result for step in pictures["unreadable"]["amqp"].steps}
    assert results["really"] == results["up"] == results["into readonly"] == results["mkdir"] == "FAILURE"
    assert results["remove locked"] == "SUCCESS"
