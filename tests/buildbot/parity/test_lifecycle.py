"""Buildbot's worker page and its notices treat a slot as any worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

RUNS = ("pb", "amqp")
CONFIG = r"""
each('quick', steps.ShellCommand(name='quick', command='true'))
each('slow', steps.ShellCommand(name='slow', command='while [ ! -e ' + OUT + '/go ]; do sleep .1; done'))
for b in c['builders'][-2 * len(RUNS):]:
    b.workernames = b.workernames[:1]
"""


@pytest.fixture(scope="module")
def side(shared: SideBySide) -> Builders:
    return shared.add(CONFIG, RUNS)


def test_pause_and_graceful_stop_keep_new_builds_away(side: Builders) -> None:
    """On either worker: what runs goes on, what is new waits, and the page says so."""
    master = side.master
    workers = {"pb": "w-pb", "amqp": "w-amqp-1"}
    slow = {run: master.force(f"slow@{run}") for run in workers}
    for request in slow.values():
        master.step_running(request, "slow")
    for name in workers.values():
        master.call(f"/workers/{master.worker(name)['workerid']}", "pause", reason="maintenance")
        wait_for(lambda name=name: master.worker(name)["paused"], 60, f"{name} paused")  # type: ignore[misc]
        assert master.worker(name)["pause_reason"] == "maintenance"
    quick = {run: master.force(f"quick@{run}") for run in workers}
    (side.out / "go").touch()
    for request in slow.values():
        assert master.finished(request).result == "SUCCESS", master.describe(request)
    assert [master.builds(request) for request in quick.values()] == [[], []]
    for name in workers.values():
        master.call(f"/workers/{master.worker(name)['workerid']}", "unpause")
    for request in quick.values():
        assert master.finished(request).result == "SUCCESS", master.describe(request)


def test_people_are_told_when_no_agent_qualifies(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """After `notify_after_minutes` Buildbot's reporters of missing workers send: which slot, what it lacks, to whom."""
    master = make_master(
        f"""
from buildbot.reporters.base import ReporterBase
from twisted.internet import defer
class Note(ReporterBase):
    def checkConfig(self): super().checkConfig(generators=self._made())
    def reconfigService(self): return super().reconfigService(generators=self._made())
    def _made(self): return [reporters.WorkerMissingGenerator(workers='all')]
    def sendMessage(self, messages):
        with open({str(tmp_path / "sent")!r}, 'a') as f:
            f.write(repr([(m['subject'], m['body'], m['users']) for m in messages]) + '\\n')
        return defer.succeed(None)
c['services'].append(Note(name='note'))
c['workers'] = [worker.AMQPLatentWorker('gtk-slot', requires=['gtk>=3'], notify_after_minutes=0.02,
    notify_on_missing=['me@example.org'])]
builder('b', c['workers'], steps.ShellCommand(command=['true']))
"""
    )
    make_agent("old", capabilities=["gtk=2.24"])
    request = master.force("b")
    sent = tmp_path / "sent"
    wait_for(sent.exists, 30, lambda: master.describe(request))
    text = wait_for(sent.read_text, 60, "the message is written")
    for words in ("gtk-slot", "me@example.org", "no agent offers gtk>=3"):
        assert words in text
    make_agent("new", capabilities=["gtk=3.24"])
    assert master.finished(request).result == "SUCCESS", master.describe(request)
