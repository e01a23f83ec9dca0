"""Rounds of faults at random, under load: all builds end, their logs are byte-exact, nothing is left over."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.timing import LIVES
from tests.faults.conftest import Record
from tests.faults.laboratory import work
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.world import World
from tests.generated import fresh_seed
from tests.harness.master import BuildMaster

pytestmark = [pytest.mark.rabbitmq, pytest.mark.long, pytest.mark.root, pytest.mark.timeout(3600)]

SIZE = 500_000
TOOL_SIZE = 50_000
BUILDS_A_ROUND = 3
FAULTS_A_ROUND = 2
STEPS = ("first", "work", "last")
#: Faults that are a `buildbot stop`.
STOPS = {"master_stopped", "master_upgraded"}
#: Lets a test give each build a number, by which its commands are told apart, in whichever build of its request.
NUMBERED = """
c['collapseRequests'] = False
c['schedulers'].append(schedulers.ForceScheduler(
    name='numbered', builderNames=[b.name for b in c['builders'] if b.name in 'bc'],
    properties=[util.StringParameter(name='number')]))
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A build of `b` (three steps on an agent), or of `c`: one command that looks for an agent by itself."""

    master: BuildMaster
    builder: str
    number: int
    request: int


class Jobs:
    def __init__(self) -> None:
        self.all: list[Job] = []

    def force(self, master: BuildMaster, builder: str = "b") -> Job:
        number = len(self.all)
        where = str(master.builder_id(builder))
        answer = master.call("/forceschedulers/numbered", "force", builderid=where, number=str(number))
        self.all.append(Job(master=master, builder=builder, number=number, request=int(answer[1][where])))
        return self.all[-1]


@pytest.mark.generated
@pytest.mark.parametrize("seed", [fresh_seed() or 1])
def test_rounds(tmp_path: Path, master_database: Path, record: Record, seed: int) -> None:
    """Every build ends with SUCCESS, every log is whole; a command runs again only in a build that was RETRY, a command
    offer's only where an agent was lost."""
    rounds = int(os.environ.get("FAULT_ROUNDS", "20"))
    chance = random.Random(seed)
    jobs = Jobs()
    began = time.monotonic()
    story: list[str] = []
    with World(tmp_path, master_database, chance, jobs.force) as world:
        lab = world.lab
        column = lab.column(workers=4, steps=_steps(lab))
        first = lab.master(column + _tool(lab) + world.config() + NUMBERED, url=world.masters_url)
        second = lab.master(column + NUMBERED, name="m2", url=world.masters_url)
        world.masters += [first, second]
        world.start_agents()
        deck: list[str] = []
        for _ in range(rounds):
            mine = [jobs.force(first) for _ in range(BUILDS_A_ROUND)]
            jobs.force(first, "c")
            jobs.force(second)
            lab.wait_mark(f"work-{mine[0].number}", "begin", timeout=180)
            for _ in range(FAULTS_A_ROUND):
                if not deck:  # every kind comes before any comes again
                    deck = world.faults()
                    chance.shuffle(deck)
                story.append(deck.pop())
                print(f"{time.monotonic() - began:.0f} s: {story[-1]}", flush=True)
                getattr(world, f"f_{story[-1]}")()
        for job in jobs.all:
            _check(lab, job, story)
        for master, request in world.begun:
            assert master.finished(request, 300).result == "SUCCESS", f"{story}\n{master.describe(request)}"
        lab.wait_nothing_left(120)
    record(
        fault=f"{rounds} rounds of faults at random under load, {FAULTS_A_ROUND} a round",
        how=f"seed {seed}: {', '.join(f'{story.count(fault)} x {fault}' for fault in sorted(set(story)))}",
        seen=f"{len(jobs.all) + len(world.begun)} builds of two masters, all SUCCESS; logs byte-exact; no command more "
        "often than its build was RETRY, no command offer's more often than agents were lost; nothing left over",
        seconds=time.monotonic() - began,
    )


def _check(lab: Lab, job: Job, story: list[str]) -> None:
    master = job.master
    build = master.finished(job.request, 300)
    builds = master.builds(job.request)
    told = f"{job}: {[b.result for b in builds]} after {story}\n{master.describe(job.request)}"
    if job.builder == "c" and build.result == "CANCELLED" and STOPS & set(story):
        # Buildbot's own: `buildbot stop` cancels a step that is just being made, whose worker is none of ours
        assert not any(mark.startswith(f"tool-{job.number} ") for mark in lab.ran()), told
        return
    assert build.result == "SUCCESS", told
    if job.builder == "b":
        lab.check_text(master, build, "work", SIZE)
        for step in STEPS:
            count = lab.ran().count(f"{step}-{job.number} begin")
            assert 1 <= count <= len(builds), f"{step} of {told}: ran {count} times"
        return
    count = lab.ran().count(f"tool-{job.number} begin")
    assert 1 <= count <= LIVES, f"the tool of {told}: ran {count} times"
    if count == 1:
        lab.check_text(master, build, "tool", TOOL_SIZE)
    else:  # what the lost run printed stands above, then why it was lost
        printed = b"".join(work.pieces(TOOL_SIZE)).decode()
        assert master.output(build, "tool").endswith(printed), told


def _steps(lab: Lab) -> str:
    """Of one builder, for its builds have numbers: a slot of sixty builders costs Buildbot seconds a build."""
    steps = []
    for step in STEPS:
        argv = _numbered(lab, step, seconds=3 if step == "work" else 0, size=SIZE if step == "work" else 0)
        steps.append(f"steps.ShellCommand(name={step!r}, command={argv}, logEnviron=False)")
    return ", ".join(steps)


def _tool(lab: Lab) -> str:
    argv = _numbered(lab, "tool", seconds=2, size=TOOL_SIZE)
    return (
        "c['workers'].append(worker.LocalWorker('local'))\nbuilder('c', ['local'], steps.CapabilityCommand(\n"
        f"    name='tool', command={argv}, requires=['gtk'], logEnviron=False))\n"
    )


def _numbered(lab: Lab, name: str, *, seconds: float, size: int) -> str:
    """The command of `Lab.command` as it stands in a master.cfg, its name with the build's number."""
    argv = lab.command(name, seconds=seconds, size=size)
    words = [f"util.Interpolate('{name}-%(prop:number)s')" if word == name else repr(word) for word in argv]
    return f"[{', '.join(words)}]"
