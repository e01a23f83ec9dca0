"""The Stop button while a step of each kind runs: results, texts and logs as with Buildbot's own worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.buildbot.parity.compare import differences
from tests.buildbot.parity.picture import BuildPicture
from tests.buildbot.parity.side_by_side import SideBySide
from tests.harness.waiting import wait_for

CONFIG = r"""
from buildbot.process.results import SUCCESS
S = steps.ShellCommand
LATER = [S(name='later', command='true'), S(name='always', command='echo always', alwaysRun=True)]
os.makedirs(OUT, exist_ok=True)
with open(OUT + '/large', 'wb') as f:
    f.truncate(1 << 30)
each('shell', S(name='runs', command='echo begin; sleep 300'), *LATER)
each('polite', S(name='runs', command='trap "sleep .2; exit 3" TERM; echo begin; while :; do sleep .05; done',
    sigtermTime=10), *LATER)
each('sequence', steps.ShellSequence(name='runs', commands=[
    util.ShellArg(command=['echo', 'one'], logname='first'), util.ShellArg(command='sleep 300', logname='second'),
    util.ShellArg(command=['echo', 'three'], logname='third')]), *LATER)
each('property', steps.SetPropertyFromCommand(name='runs', command='echo begin; sleep 300', property='p'), *LATER)
each('upload', S(name='make', command='truncate -s 1G f'),
    steps.FileUpload(name='runs', workersrc='f', masterdest=out('f'), blocksize=1024), *LATER)
each('directory', S(name='make', command='mkdir d; truncate -s 1G d/f'),
    steps.DirectoryUpload(name='runs', workersrc='d', masterdest=out('d'), compress='bz2'), *LATER)
each('download', steps.FileDownload(name='runs', mastersrc=OUT + '/large', workerdest='f', blocksize=1024), *LATER)
each('sub-slow', S(name='slow', command='sleep 300'))
for run in RUNS:
    c['schedulers'].append(schedulers.Triggerable(name='slow@' + run, builderNames=['sub-slow@' + run]))
each('trigger', steps.Trigger(name='runs', waitForFinish=True,
    schedulerNames=[util.Interpolate('slow@%(prop:run)s')]), *LATER)
"""
NAMES = ("shell", "polite", "sequence", "property", "upload", "trigger")
#: Those in which Buildbot's own worker takes long to end, or does not end; they are looked at on an agent alone.
OURS = ("directory", "download")
SETTINGS: dict[str, Any] = {"runs": ("pb", "amqp")}
LISTED: dict[str, Any] = {}


@pytest.fixture(scope="module")
def side(make_side_by_side: Callable[..., SideBySide]) -> SideBySide:
    return make_side_by_side(CONFIG, **SETTINGS)


@pytest.fixture(scope="module")
def pictures(side: SideBySide) -> dict[str, dict[str, BuildPicture]]:
    return stopped(side, NAMES)


def stopped(
    side: SideBySide, names: tuple[str, ...], runs: tuple[str, ...] = SETTINGS["runs"]
) -> dict[str, dict[str, BuildPicture]]:
    """Builds that were stopped in their step "runs"."""
    master = side.master
    requests = {(name, run): master.force(f"{name}@{run}") for name in names for run in runs}
    running = dict(requests)

    def stop_what_runs() -> bool:
        for key, request in list(running.items()):
            builds = master.builds(request)
            step = builds[-1].steps.get("runs") if builds else None
            if step is not None and step["started_at"] is not None and time.time() - step["started_at"] > 2:
                master.call(f"/builds/{builds[-1].id}", "stop", reason="enough")
                del running[key]
        return not running

    wait_for(stop_what_runs, 150, lambda: f"all builds run: {running}", every=0.3)
    found: dict[str, dict[str, BuildPicture]] = {}
    for (name, run), request in requests.items():
        found.setdefault(name, {})[run] = side.painter.paint(master.finished(request))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_build_looks_the_same(name: str, pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """CANCELLED, the reason in the step, and what always runs still runs."""
    ours = pictures[name]["amqp"]
    found = differences(pictures[name]["pb"], ours, LISTED.get(name))
    assert not found, "\n".join(found)
    assert ours.result == "CANCELLED"
    assert [step.name for step in ours.steps if step.name != "make"] == ["runs", "always"]


def test_a_stopped_transfer_leaves_nothing_half(side: SideBySide) -> None:
    """A directory that was being packed, a file that was being downloaded: CANCELLED, and no part of it is there."""
    pictures = stopped(side, OURS, ("amqp",))
    for name in OURS:
        ours = pictures[name]["amqp"]
        assert ours.result == "CANCELLED", ours
        assert [step.result for step in ours.steps if step.name == "runs"] == ["CANCELLED"]
    assert not (side.out / "directory@amqp" / "d").exists()
    left = list((side.folder / "agent").rglob("download/build/*"))
    assert not left
