"""Rounds of faults at random, under load: all builds end, their logs are byte-exact, nothing is left over."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.faults import processes
from tests.faults.conftest import Record
from tests.faults.lab import Lab
from tests.faults.proxy import Proxy
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(1700)]

SIZE = 500_000
AGENTS = 3
BUILDS_A_ROUND = 3
STEPS = ("first", "work", "last")
#: Lets a test give each build a number, by which its commands are told apart, in whichever build of its request.
NUMBERED = """
c['collapseRequests'] = False
c['schedulers'].append(schedulers.ForceScheduler(
    name='numbered', builderNames=['b'], properties=[util.StringParameter(name='number')]))
"""


class Round:
    """What can happen to a running system. Each leaves it whole again."""

    def __init__(self, lab: Lab, master: BuildMaster, proxy: Proxy, chance: random.Random) -> None:
        self.lab, self.master, self.proxy, self.chance = lab, master, proxy, chance
        self.serial = 0

    def faults(self) -> list[str]:
        return [name[2:] for name in dir(self) if name.startswith("f_")]

    def agent(self) -> Agent:
        return self.chance.choice([agent for agent in self.lab.agents if agent.running])

    def new_agent(self) -> None:
        self.serial += 1
        self.lab.agent(f"r{self.serial}", url=self.proxy.url(self.lab.url))

    def f_agent_killed(self) -> None:
        agent = self.agent()
        processes.kill_all(lambda: processes.tree(agent.pid))
        agent.kill_main()
        agent.start()

    def f_agent_killed_for_good(self) -> None:
        agent = self.agent()
        processes.kill_all(lambda: processes.tree(agent.pid))
        agent.kill_main()
        self.new_agent()

    def f_main_killed(self) -> None:
        agent = self.agent()
        agent.kill_main()
        agent.start()

    def f_agent_restarted(self) -> None:
        os.kill(self.agent().pid, 12)  # SIGUSR2

    def f_agent_stands_still(self) -> None:
        agent = self.agent()
        frozen = processes.freeze(lambda: processes.tree(agent.pid))
        self._pause(self.chance.uniform(1, 20))
        processes.thaw(frozen)

    def f_links_reset(self) -> None:
        self.proxy.reset()

    def f_links_cut(self) -> None:
        self.proxy.cut()
        self._pause(self.chance.uniform(0.5, 8))
        self.proxy.heal()

    def f_master_killed(self) -> None:
        self.master.kill()
        self._pause(self.chance.uniform(0, 5))
        self.master.start()

    def f_master_stopped(self) -> None:
        self.master.stop()
        self.master.start()

    def f_broker_killed(self) -> None:
        self.lab.node.kill()
        self.lab.node.restart()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until, seconds + 1, "a pause")


@pytest.mark.parametrize("seed", [1])
def test_rounds(own_lab: Lab, record: Record, seed: int) -> None:
    """Every build ends with SUCCESS, every log is whole; a command runs again only in a build that was RETRY."""
    lab, rounds = own_lab, int(os.environ.get("FAULT_ROUNDS", "20"))
    chance = random.Random(seed)
    master = lab.master(lab.column(workers=AGENTS, steps=_steps(lab)) + NUMBERED)
    builder = str(master.builder_id("b"))

    def force(number: int) -> int:
        answer = master.call("/forceschedulers/numbered", "force", builderid=builder, number=str(number))
        return int(answer[1][builder])

    began = time.monotonic()
    story = []
    with Proxy(lab.node.port) as proxy:
        world = Round(lab, master, proxy, chance)
        for _ in range(AGENTS):
            world.new_agent()
        requests: dict[int, int] = {}
        for number in range(rounds):
            for serial in range(number * BUILDS_A_ROUND, (number + 1) * BUILDS_A_ROUND):
                requests[serial] = force(serial)
            lab.wait_mark(f"work-{number * BUILDS_A_ROUND}", "begin", timeout=180)
            fault = chance.choice(world.faults())
            story.append(fault)
            getattr(world, f"f_{fault}")()
        for serial, request in requests.items():
            build = master.finished(request, 300)
            builds = master.builds(request)
            told = f"{serial}: {[b.result for b in builds]} after {story}\n{master.describe(request)}"
            assert build.result == "SUCCESS", told
            lab.check_text(master, build, "work", SIZE)
            for step in STEPS:
                count = lab.ran().count(f"{step}-{serial} begin")
                assert 1 <= count <= len(builds), f"{step} of {told}: ran {count} times"
        lab.wait_nothing_left(120)
    record(
        fault=f"{rounds} rounds of faults at random under load",
        how=f"seed {seed}: {', '.join(f'{story.count(fault)} x {fault}' for fault in sorted(set(story)))}",
        seen=f"{len(requests)} builds, all SUCCESS; logs byte-exact; no command more often than its build was RETRY; "
        "nothing left over",
        seconds=time.monotonic() - began,
    )


def _steps(lab: Lab) -> str:
    """Of one builder, for its builds have numbers: a slot of sixty builders costs Buildbot seconds a build."""
    steps = []
    for step in STEPS:
        argv = lab.command(step, seconds=3 if step == "work" else 0, size=SIZE if step == "work" else 0)
        words = [f"util.Interpolate('{step}-%(prop:number)s')" if word == step else repr(word) for word in argv]
        steps.append(f"steps.ShellCommand(name={step!r}, command=[{', '.join(words)}], logEnviron=False)")
    return ", ".join(steps)
