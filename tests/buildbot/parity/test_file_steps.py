"""Steps that move files, look at them and remove them, and the files that result, on both sides."""
# ruff: noqa: E501  # the pieces of master.cfg have lines of their own

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide

CONFIG = r"""
S = steps.ShellCommand
GO = dict(haltOnFailure=False, flunkOnFailure=False)
with open(OUT + '/source', 'wb') as f:
    f.write(bytes(range(256)) * 300)
each('upload',
    S(name='make', command='head -c 70000 /dev/zero | tr "\\0" x > f; printf "" > empty; touch -d @1000000000 f; '
        'mkdir -p d/e/empty; echo 1 > d/one; echo 2 > d/e/two; chmod 750 d/e/two; ln -s one d/link; '
        'mkdir d/gr\u00fc\u00df'),
    steps.FileUpload(name='up', workersrc='f', masterdest=out('up/f')),
    steps.FileUpload(name='keepstamp', workersrc='f', masterdest=out('stamp'), keepstamp=True),
    steps.FileUpload(name='mode', workersrc='f', masterdest=out('mode'), mode=0o640),
    steps.FileUpload(name='tiny blocks', workersrc='d/one', masterdest=out('tiny'), blocksize=1),
    steps.FileUpload(name='odd blocks', workersrc='f', masterdest=out('odd'), blocksize=4097),
    steps.FileUpload(name='large blocks', workersrc='f', masterdest=out('large'), blocksize=2 * 1024 * 1024),
    steps.FileUpload(name='empty', workersrc='empty', masterdest=out('empty')),
    steps.FileUpload(name='just fits', workersrc='f', masterdest=out('fits'), maxsize=70001),
    steps.FileUpload(name='too large', workersrc='f', masterdest=out('too-large'), maxsize=1000, **GO),
    steps.FileUpload(name='missing', workersrc='nothing', masterdest=out('missing'), **GO),
    steps.FileUpload(name='a folder', workersrc='d', masterdest=out('folder'), **GO),
    steps.FileUpload(name='with url', workersrc='f', masterdest=out('url'), url='http://x.example.org/f', urlText='F'),
    steps.FileUpload(name='absolute', workersrc='/etc/hostname', masterdest=out('absolute')),
    steps.FileUpload(name='upwards', workersrc='../build/f', masterdest=out('upwards')),
    steps.DirectoryUpload(name='tree', workersrc='d', masterdest=out('tree')),
    steps.DirectoryUpload(name='tree gz', workersrc='d', masterdest=out('tree-gz'), compress='gz'),
    steps.DirectoryUpload(name='tree bz2', workersrc='d', masterdest=out('tree-bz2'), compress='bz2', blocksize=100),
    steps.DirectoryUpload(name='tree missing', workersrc='nothing', masterdest=out('tree-missing'), **GO),
    steps.MultipleFileUpload(name='many', workersrcs=['f', 'd'], masterdest=out('many')),
    steps.MultipleFileUpload(name='matching', workersrcs=['d/o*', 'em*'], masterdest=out('matching'), glob=True),
    steps.MultipleFileUpload(name='many missing', workersrcs=['f', 'nothing'], masterdest=out('many-missing'), **GO),
)
each('download',
    steps.FileDownload(name='down', mastersrc=OUT + '/source', workerdest='f'),
    steps.FileDownload(name='mode', mastersrc=OUT + '/source', workerdest='sub/dir/m', mode=0o750),
    steps.FileDownload(name='tiny blocks', mastersrc=OUT + '/source', workerdest='tiny', blocksize=1, maxsize=50, **GO),
    steps.FileDownload(name='odd blocks', mastersrc=OUT + '/source', workerdest='odd', blocksize=4097),
    steps.FileDownload(name='large blocks', mastersrc=OUT + '/source', workerdest='large', blocksize=1 << 21),
    steps.FileDownload(name='too large', mastersrc=OUT + '/source', workerdest='big', maxsize=1000, **GO),
    steps.FileDownload(name='missing', mastersrc=OUT + '/nothing', workerdest='never', **GO),
    steps.FileDownload(name='replaces', mastersrc=OUT + '/source', workerdest='m2', workdir='build/sub'),
    S(name='folder', command=['mkdir', 'folder']),
    steps.FileDownload(name='on a folder', mastersrc=OUT + '/source', workerdest='folder', **GO),
    steps.FileDownload(name='no such folder', mastersrc=OUT + '/source', workerdest='f/g', **GO),
    steps.FileDownload(name='upwards', mastersrc=OUT + '/source', workerdest='../above'),
    steps.StringDownload('text \u20ac \x01\n', name='string', workerdest='string'),
    steps.StringDownload(util.Interpolate('%(prop:buildnumber)s'), name='rendered', workerdest='number', mode=0o600),
    steps.JSONStringDownload({'a': [1, 'x']}, name='json', workerdest='data.json'),
    steps.JSONPropertiesDownload(name='properties', workerdest='properties.json'),
    S(name='look', command='for f in f sub/dir/m tiny odd large big sub/m2 string number data.json ../above never; do '
        'test -e $f && stat -c "%n %s %a" $f && cksum < $f; done; cat string number data.json; ls -A'),
    S(name='look at properties', command='python3 -c "import json; d = json.load(open(\'properties.json\')); '
        'print(sorted(d), sorted(k for k in d[\'properties\'] if k not in (\'agent\', \'agent_account\', \'agent_instance\', \'capabilities\')), d[\'sourcestamps\'][0][\'branch\'])"'),
)
from buildbot.process import buildstep
from buildbot.process.results import SUCCESS, FAILURE
from buildbot.steps.worker import CompositeStepMixin
from twisted.internet import defer
for name, make, more in (('link-away', 'mkdir d; ln -s /etc d/away', {}), ('link-up', 'mkdir d; ln -s ../../.. d/up', {}),
                         ('maxsize', 'mkdir d; head -c 50000 /dev/urandom > d/f', {'maxsize': 20000})):
    each(name, S(name='make', command=make),
        steps.DirectoryUpload(name='tree', workersrc='d', masterdest=out('tree'), **more))
class Looks(CompositeStepMixin, buildstep.BuildStep):
    logEnviron = False
    @defer.inlineCallbacks
    def run(self):
        yield self.addLogForRemoteCommands('stdio')
        self.rc_log = yield self.addLog('found')
        def say(*what):
            return self.rc_log.addStdout(' '.join(map(str, what)) + '\n')
        w = self.workdir
        yield self.runMkdir(w + '/c/d')
        yield say('exists', (yield self.pathExists(w + '/c/d')), (yield self.pathExists(w + '/c/x')))
        yield self.downloadFileContentToWorker('c/text', 'content \u20ac\n', mode=0o640)
        yield say('content', repr((yield self.getFileContentFromWorker('c/text'))))
        yield say('no content', (yield self.getFileContentFromWorker('c/nothing')))
        yield self.downloadFileContentToWorker('c/d/b.txt', 'b', workdir=w)
        found = yield self.runGlob(w + '/c/**/*t')
        yield say('glob', sorted(f[f.index('/build/'):] for f in found))
        yield say('no glob', (yield self.runGlob(w + '/zzz*')))
        yield self.runRmFile(w + '/c/text')
        yield say('rmfile', (yield self.pathExists(w + '/c/text')))
        yield say('rmfile again', (yield self.runRmFile(w + '/c/text', abandonOnFailure=False)))
        yield say('rmdir', (yield self.runRmdir(w + '/c')), (yield self.pathExists(w + '/c')))
        cmd = yield self.runRemoteCommand('listdir', {'dir': w}, evaluateCommand=lambda c: c, abandonOnFailure=False)
        yield say('listdir', sorted(cmd.updates['files'][-1]))
        cmd = yield self.runRemoteCommand('stat', {'file': w}, evaluateCommand=lambda c: c, abandonOnFailure=False)
        yield say('stat', type(cmd.updates['stat'][-1]).__name__, len(cmd.updates['stat'][-1]))
        yield self.runMkdir(w + '/file-is-no-folder/x')
        return SUCCESS
each('folders',
    S(name='make', command='mkdir -p a/b; echo 1 > a/b/one; ln -s one a/b/link; echo file > file'),
    steps.MakeDirectory(name='mkdir', dir='build/new/deep'),
    steps.MakeDirectory(name='mkdir again', dir='build/new/deep'),
    steps.MakeDirectory(name='mkdir fails', dir='build/file/x', **GO),
    steps.CopyDirectory(name='copy', src='build/a', dest='build/copy'),
    steps.CopyDirectory(name='copy fails', src='build/nothing', dest='build/copy2', **GO),
    steps.FileExists(name='exists', file='build/copy/b/one'),
    steps.FileExists(name='is a folder', file='build/copy', **GO),
    steps.FileExists(name='exists not', file='build/copy/b/none', **GO),
    steps.RemoveDirectory(name='remove', dir='build/copy'),
    steps.RemoveDirectory(name='remove nothing', dir='build/copy'),
    steps.FileExists(name='is gone', file='build/copy/b/one', **GO),
    S(name='look', command='find . | sort'),
    Looks(name='composite', workdir='build', **GO),
    S(name='look again', command='find . | sort'),
)
"""
NAMES = ("upload", "download", "folders")
#: msgpack (experimental) is left out: with buildbot-worker 4.3 its downloads come out empty and keepstamp fails.
RUNS = ("pb", "amqp")
LISTED = {"upload": {"many missing": ["last-line"]}}


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


@pytest.fixture(scope="module")
def pictures(side: Builders) -> dict[str, dict[str, BuildPicture]]:
    return side.run(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_steps_that_move_files_are_the_same(name: str, pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """Results, texts, properties and logs, line by line."""
    found = differences(pictures[name]["pb"], pictures[name]["amqp"], LISTED.get(name))
    assert not found, "\n".join(found)


def test_the_masters_files_are_the_same(side: Builders, pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """Names, modes, sizes, links, content, and times where they are kept; nothing half is left."""
    ours = files(side.out / "upload@amqp")
    assert "tree-bz2/e/two" in ours
    assert ours == files(side.out / "upload@pb")


@pytest.mark.parametrize("name", ["link-away", "link-up"])
def test_an_archive_cannot_lead_out_of_its_target(name: str, side: Builders) -> None:
    """The master refuses the link; the step ends and says why, and nothing is written elsewhere or through it."""
    build = side.master.finished(side.master.force(f"{name}@amqp"))
    assert build.step_result("tree") == "EXCEPTION", side.master.describe(build.row["buildrequestid"])
    assert "Link" in side.master.step_log(build, "tree", "err.text")
    assert not [path for path in (side.out / f"{name}@amqp").rglob("*") if path.is_symlink()]


def test_a_directory_above_maxsize_fails_and_is_not_unpacked(side: Builders) -> None:
    """Half an archive must not become a folder: FAILURE, and the text that Buildbot's worker has for it."""
    build = side.master.finished(side.master.force("maxsize@amqp"))
    assert build.step_result("tree") == "FAILURE", side.master.describe(build.row["buildrequestid"])
    assert "Maximum filesize reached" in side.master.step_log(build, "tree")
    assert not [path for path in (side.out / "maxsize@amqp").rglob("*") if path.is_file()]


def files(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        name, details = str(path.relative_to(folder)), path.lstat()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", stat.S_IMODE(details.st_mode))
        else:
            stamp = int(details.st_mtime) if name == "stamp" else None
            found[name] = (stat.S_IMODE(details.st_mode), path.read_bytes(), stamp)
    return found
