"""Sessions lost at random moments of a build's life, in lanes side by side: each a builder, its slot and its agent.

The master's database is slow, at random, so that a loss falls into each of the awaits between Buildbot's steps as often
as into the commands.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tests.faults.laboratory import processes
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.proxy import Proxy
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

#: Seconds for which a silent agent may come back here.
GRACE = 2.0
#: Each call of Buildbot's updates takes up to so many seconds more.
SLOW = 0.15
#: Seconds after the request within which the loss comes: about as long as such a build takes.
LIFE = 6.0
#: Seconds that a build may take to its end, its repetition included, on a machine that is busy.
PATIENCE = 240.0

CONFIG = """
import random
from buildbot.util import service
from twisted.internet import defer, reactor, task

class SlowDatabase(service.BuildbotService):
    name = "slow-database"

    def startService(self):
        updates = self.master.data.updates
        for name in dir(updates):
            if not name.startswith("_") and callable(getattr(updates, name)):
                setattr(updates, name, self.slowed(getattr(updates, name)))
        return super().startService()

    def slowed(self, method):
        @defer.inlineCallbacks
        def call(*args, **kwargs):
            yield task.deferLater(reactor, random.uniform(0, {slow}))
            result = yield defer.maybeDeferred(method, *args, **kwargs)
            yield task.deferLater(reactor, random.uniform(0, {slow}))
            return result
        return call

c['services'].append(SlowDatabase())
c['collapseRequests'] = False
for lane in range({lanes}):
    slots = worker.amqp_column(f"lane{{lane}}", workers=1, requires=[f"lane{{lane}}"])
    c['workers'] += slots
    builder(f"lane{{lane}}", slots,
            steps.ShellCommand(name="one", command=["sleep", "0.2"]), steps.ShellCommand(name="two", command=["true"]))
"""


class Lane:
    """One agent behind a link that can be cut, and what is done to it."""

    def __init__(self, lab: Lab, master: BuildMaster, number: int, chance: random.Random) -> None:
        self.name = f"lane{number}"
        self._lab, self._master, self._chance = lab, master, chance
        self.proxy = Proxy(lab.way.port)
        self.agent: Agent = lab.agent(f"a{number}", capabilities=[self.name], by=self.proxy.port)
        self._worker = master.worker(f"{self.name}-1")["workerid"]
        #: ends of builds: "keeper cannot start: RETRY SUCCESS" -> how often
        self.ends: Counter[str] = Counter()
        self.losses = 0

    def round(self, fault: str) -> None:
        """One request with one loss, and one more that shows that the slot works."""
        request = self._master.force(self.name)
        began, moment = time.monotonic(), self._chance.uniform(0, LIFE)
        wait_for(lambda: time.monotonic() > began + moment, LIFE + 5, "the moment", every=0.01)
        getattr(self, fault.replace(" ", "_"))()
        self._master.finished(request, PATIENCE)
        results = [build.result for build in self._master.builds(request)]
        told = f"{fault} after {moment:.2f} s: {results}\n{self._master.describe(request)}\n{self.agent.log()[-3000:]}"
        assert results[-1] == "SUCCESS", told
        assert set(results[:-1]) <= {"RETRY"}, told
        self.losses += len(results) - 1
        self.ends[f"{fault}: {' '.join(results)}"] += 1

    # -- faults -------------------------------------------------------------------------------------------------------

    def agent_killed(self) -> None:
        processes.kill_all(lambda: processes.tree(self.agent.pid))
        self.agent.kill_main()
        self.agent.start()

    def keeper_killed(self) -> None:
        """With what it watches; the main process says so at once."""
        found = [it for it in processes.tree(self.agent.pid)[1:] if "keeper" in " ".join(it.cmdline())]
        processes.kill_all(lambda: found)

    def keeper_cannot_start(self) -> None:
        """For a while: there is a file where its sessions' folders are made. What runs has lost its folder."""
        sessions = self.agent.folder / "state" / "sessions"
        away = sessions.with_name("away")
        sessions.rename(away)
        sessions.touch()
        self._wait(1.5)
        sessions.unlink()
        away.rename(sessions)

    def link_cut(self) -> None:
        """For longer than the grace: the build is given up, and the resume that comes afterwards is refused."""
        self.proxy.cut()
        self._wait(GRACE + 2)
        self.proxy.heal()

    def worker_killed(self) -> None:
        """On Buildbot's worker page."""
        self._master.call(f"/workers/{self._worker}", "kill")

    def main_process_killed(self) -> None:
        """Its keepers go on, and it resumes their sessions: no loss, unless its folder was just being made."""
        self.agent.kill_main()
        self.agent.start()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until, seconds + 5, "a while")


#: Those that come at once, and those for which the bridge waits for the grace.
QUICK = ["keeper killed", "keeper cannot start", "worker killed"]
ALL = [*QUICK, "agent killed", "link cut", "main process killed"]


def run(lab: Lab, *, lanes: int, losses: int, faults: list[str], seed: int) -> Counter[str]:
    """Until so many sessions were lost; the ends of all builds."""
    master = lab.master(CONFIG.format(slow=SLOW, lanes=lanes), broker=f"grace={GRACE}")
    if faults != QUICK:
        lab.settle(master)
    with ExitStack() as stack:
        made = [Lane(lab, master, number, random.Random(seed * 100 + number)) for number in range(lanes)]
        for lane in made:
            stack.callback(lane.proxy.close)
        _in_lanes(made, lambda lane: _rounds(lane, losses, made, faults))
        for lane in made:
            request = master.force(lane.name)
            assert master.finished(request, PATIENCE).result == "SUCCESS", master.describe(request)
        assert not master.get("/builds?complete=false")["builds"]
    return sum((lane.ends for lane in made), Counter())


def _rounds(lane: Lane, losses: int, lanes: list[Lane], faults: list[str]) -> None:
    number = 0
    while sum(each.losses for each in lanes) < losses:
        lane.round(faults[number % len(faults)])
        number += 1


def _in_lanes(lanes: list[Lane], work: Callable[[Lane], Any]) -> None:
    with ThreadPoolExecutor(len(lanes)) as pool:
        for done in [pool.submit(work, lane) for lane in lanes]:
            done.result()
