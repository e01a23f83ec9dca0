"""The Stop button while a step of each kind runs: results, texts and logs as with Buildbot's own worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import PATIENCE, Builders, SideBySide
from tests.harness.master import Build
from tests.harness.waiting import wait_for

CONFIG = r"""
import sys
from buildbot.process.results import SUCCESS
S = steps.ShellCommand
LATER = [S(name='later', command='true'), S(name='always', command='echo always', alwaysRun=True)]
with open(OUT + '/large', 'wb') as f:
    f.truncate(1 << 30)
each('stop-shell', S(name='runs', command='echo begin; sleep 300'), *LATER)
# no shell: what that says of a signal depends on whether it had a child just then
polite = ("import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(.2), sys.exit(3))); "
    "print('begin', flush=True); time.sleep(300)")
each('stop-polite', S(name='runs', command=[sys.executable, '-c', polite], sigtermTime=10), *LATER)
each('stop-sequence', steps.ShellSequence(name='runs', commands=[
    util.ShellArg(command=['echo', 'one'], logname='first'), util.ShellArg(command='sleep 300', logname='second'),
    util.ShellArg(command=['echo', 'three'], logname='third')]), *LATER)
each('stop-property', steps.SetPropertyFromCommand(name='runs', command='echo begin; sleep 300', property='p'), *LATER)
each('stop-upload', S(name='make', command='truncate -s 1G f'),
    steps.FileUpload(name='runs', workersrc='f', masterdest=out('f'), blocksize=1024), *LATER)
each('stop-directory', S(name='make', command='mkdir d; truncate -s 1G d/f'),
    steps.DirectoryUpload(name='runs', workersrc='d', masterdest=out('d'), compress='bz2'), *LATER)
each('stop-download', steps.FileDownload(name='runs', mastersrc=OUT + '/large', workerdest='f', blocksize=1024), *LATER)
# the `rm` and `cp` of these workers wait for the test when something is named so
each('stop-remove', S(name='make', command='mkdir -p slow/deep'),
    steps.RemoveDirectory(name='runs', dir='build/slow'), *LATER)
each('stop-copy', S(name='make', command='mkdir -p a/deep'),
    steps.CopyDirectory(name='runs', src='build/a', dest='build/slow'), *LATER)
each('stop-git', steps.Git(name='runs', repourl='ssh://127.0.0.1/none', branch='main', mode='full', method='clobber',
    env={'GIT_SSH_COMMAND': "sh -c 'echo begin >&2; sleep 300'", 'GIT_SSH_VARIANT': 'ssh'}, logEnviron=False), *LATER)
each('sub-slow', S(name='slow', command='sleep 300'))
for run in RUNS:
    c['schedulers'].append(schedulers.Triggerable(name='slow@' + run, builderNames=['sub-slow@' + run]))
    held = util.MasterLock('held@' + run)
    until = 'while [ ! -e ' + OUT + '/let-go ]; do sleep .1; done'
    for name, command in (('holds', until), ('stop-lock', 'echo got it')):
        c['builders'].append(util.BuilderConfig(
            name=name + '@' + run, workernames=ON[run], workerbuilddir=name, properties={'run': run},
            factory=BuildFactory([S(name='runs', command=command, locks=[held.access('exclusive')]), *LATER])))
each('stop-trigger', steps.Trigger(name='runs', waitForFinish=True,
    schedulerNames=[util.Interpolate('slow@%(prop:run)s')]), *LATER)
"""
NAMES = ("stop-shell", "stop-polite", "stop-sequence", "stop-property", "stop-upload", "stop-trigger", "stop-git")
#: Those that are stopped when they have said "begin".
TALK = ("stop-shell", "stop-polite", "stop-property", "stop-git")
SLOW = ("stop-remove", "stop-copy")
LOCKED = "stop-lock"
#: Those in which Buildbot's own worker takes long to end, or does not end; they are looked at on an agent alone.
OURS = ("stop-directory", "stop-download")
RUNS = ("pb", "amqp")
LISTED: dict[str, Any] = {
    "stop-git": {"runs": ["last-line"]},
}


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


@pytest.fixture(scope="module")
def pictures(side: Builders) -> dict[str, dict[str, BuildPicture]]:
    return stopped(side, NAMES)


def stopped(side: Builders, names: Sequence[str], runs: Sequence[str] = RUNS) -> dict[str, dict[str, BuildPicture]]:
    """Builds that were stopped in their step "runs"."""
    requests = stop(side, names, runs)
    found: dict[str, dict[str, BuildPicture]] = {}
    for (name, run), request in requests.items():
        found.setdefault(name, {})[run] = side.painter.paint(side.master.finished(request))
    return found


def stop(side: Builders, names: Sequence[str], runs: Sequence[str]) -> dict[tuple[str, str], int]:
    """Force these builds and stop each in its step "runs"; returns their requests."""
    master = side.master
    requests = {(name, run): master.force(f"{name}@{run}") for name in names for run in runs}
    running = dict(requests)

    def under_way(name: str, build: Build) -> bool:
        step = build.steps.get("runs")
        if step is None or step["started_at"] is None:
            return False
        if name in TALK:
            logs = master.get(f"/steps/{step['stepid']}/logs")["logs"]
            return bool(logs) and "begin" in master.output(build, "runs", streams="oe")
        return time.time() - float(step["started_at"]) > 2

    def stop_what_runs() -> bool:
        for key, request in list(running.items()):
            builds = master.builds(request)
            if builds and under_way(key[0], builds[-1]):
                master.call(f"/builds/{builds[-1].id}", "stop", reason="enough")
                del running[key]
        return not running

    wait_for(stop_what_runs, PATIENCE, lambda: f"all builds run: {running}", every=1.0)
    return requests


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_build_looks_the_same(name: str, pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """CANCELLED, the reason in the step, and what always runs still runs."""
    ours = pictures[name]["amqp"]
    found = differences(pictures[name]["pb"], ours, LISTED.get(name))
    assert not found, "\n".join(found)
    assert ours.result == "CANCELLED"
    assert [step.name for step in ours.steps if step.name != "make"] == ["runs", "always"]


def test_stop_ends_rm_and_cp_at_once(side: Builders) -> None:
    """The same results as with Buildbot's own worker, which waits for them: difference "interrupt-files"."""
    requests = stop(side, SLOW, RUNS)
    ours = [side.painter.paint(side.master.finished(requests[name, "amqp"])) for name in SLOW]
    assert [side.master.builds(requests[name, "pb"])[-1].result for name in SLOW] == ["RUNNING", "RUNNING"]
    (side.machines.tools / "go").touch()
    for name, picture in zip(SLOW, ours, strict=True):
        theirs = side.painter.paint(side.master.finished(requests[name, "pb"]))
        assert picture.result == "CANCELLED"
        found = differences(theirs, picture)
        assert not found, "\n".join(found)


def test_a_build_that_waits_for_a_lock_is_stopped_alike(side: Builders) -> None:
    """CANCELLED at once, without the lock and without having run; who holds the lock is not disturbed."""
    holders = [side.master.force(f"holds@{run}") for run in RUNS]
    for request in holders:
        side.master.step_running(request, "runs")
    pictures = stopped(side, [LOCKED])[LOCKED]
    found = differences(pictures["pb"], pictures["amqp"])
    assert not found, "\n".join(found)
    assert pictures["amqp"].result == "CANCELLED"
    assert "got it" not in str(pictures["amqp"])
    (side.out / "let-go").touch()
    assert [side.master.finished(request).result for request in holders] == ["SUCCESS", "SUCCESS"]


def test_a_stopped_transfer_leaves_nothing_half(side: Builders) -> None:
    """A directory that was being packed, a file that was being downloaded: CANCELLED, and no part of it is there."""
    pictures = stopped(side, OURS, ("amqp",))
    for name in OURS:
        ours = pictures[name]["amqp"]
        assert ours.result == "CANCELLED", ours
        assert [step.result for step in ours.steps if step.name == "runs"] == ["CANCELLED"]
    assert not (side.out / "stop-directory@amqp" / "d").exists()
    left = list(side.machines.agent.folder.rglob("stop-download/build/*"))
    assert not left
