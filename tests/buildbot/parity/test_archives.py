"""Archives that an agent sends with names that lead elsewhere: the master writes nothing outside of the target."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide
from tests.harness.agents import Agent

#: What stands for a file's name in the folder -> its name in the archive.
NAMES = {"up": "../../escaped", "deep": "d/../../../escaped", "whole": "{outside}/escaped"}
#: An agent whose keepers give their archives other names than their files have.
_LIAR = """
import runpy, subprocess, sys
lie = '''
import tarfile
honest = tarfile.TarFile.addfile
def addfile(self, tarinfo, fileobj=None):
    tarinfo.name = {names!r}.get(tarinfo.name, tarinfo.name)
    honest(self, tarinfo, fileobj)
tarfile.TarFile.addfile = addfile
'''
class Popen(subprocess.Popen):
    def __init__(self, argv, **kwargs):
        argv = [lie + each if 'worker_agent.keeper' in each else each for each in argv]
        super().__init__(argv, **kwargs)
subprocess.Popen = Popen
runpy.run_module('worker_agent', run_name='__main__')
"""
CONFIG = """
liars = worker.amqp_column('w-liar', workers=1, requires=['liar'])
c['workers'] += liars
for name in {names!r}:
    builder('lies-' + name, liars,
        steps.ShellCommand(name='make', command='mkdir -p d; echo x > d/' + name),
        steps.DirectoryUpload(name='tree', workersrc='d', masterdest=OUT + '/lies/' + name + '/target'))
builder('bomb', liars,
    steps.ShellCommand(name='make', command='mkdir -p d; head -c 50000000 /dev/zero > d/zeros'),
    steps.DirectoryUpload(name='tree', workersrc='d', masterdest=OUT + '/bomb', compress='gz', maxsize=1000000))
"""


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Iterator[Builders]:
    """The shared master, and an agent whose archives have bad names."""
    names = {name: path.format(outside=shared.out / "lies" / "outside") for name, path in NAMES.items()}
    program = (sys.executable, "-c", _LIAR.format(names=names))
    entrance = shared.way.entrance()
    agent = Agent(
        shared.folder / "liar", entrance.url, name="liar", capabilities=["liar"], program=program,
        environment=entrance.environment,
    )  # fmt: skip
    builders = shared.add(CONFIG.format(names=list(NAMES)), ("amqp",))
    agent.start()
    yield builders
    agent.stop(timeout=5)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_cannot_lead_out_of_the_target(name: str, side: Builders) -> None:
    """`..` is refused and the step says so; of an absolute name only what follows the root counts."""
    target = side.out / "lies" / name / "target"
    build = side.master.finished(side.master.force(f"lies-{name}"))
    if name == "whole":
        assert build.result == "SUCCESS", side.master.describe(build.row["buildrequestid"])
        assert [path for path in target.rglob("escaped") if path.is_file()]
    else:
        assert build.step_result("tree") == "EXCEPTION", side.master.describe(build.row["buildrequestid"])
        assert "outside" in side.master.step_log(build, "tree", "err.text")
    assert not [path for path in side.machines.folder.rglob("escaped") if target not in path.parents]


def test_an_archive_that_unpacks_to_more_than_maxsize_is_refused(side: Builders) -> None:
    """Packed it is 50 kB, which is sent; the master writes nothing of it."""
    build = side.master.finished(side.master.force("bomb"))
    assert build.step_result("tree") == "EXCEPTION", side.master.describe(build.row["buildrequestid"])
    assert "unpacks to more than 1,000,000 bytes" in side.master.step_log(build, "tree", "err.text")
    assert not [path for path in (side.out / "bomb").rglob("*") if path.is_file()]
