"""Runs one plan to its end: hosts up, jobs in, faults as planned, then everything heals and has time to settle."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from tests.simulation.faults import strike
from tests.simulation.hosts.agent_host import AgentHost
from tests.simulation.hosts.buildbot import Job
from tests.simulation.hosts.master_host import MasterHost
from tests.simulation.hosts.operator_host import OperatorHost
from tests.simulation.ledger import Violation
from tests.simulation.plan import JobPlan, OperatorPlan, Plan
from tests.simulation.planted.mutants import NONE, Mutant
from tests.simulation.verdict import all_ended, judge, unsettled
from tests.simulation.world import World

#: Time to settle after the last fault, in virtual seconds. Above the longest that the protocol waits for anything
#: (resumes back off to 60 s, the settling grace is 35 s, parked offers come back after 10 s, what waits in vain is
#: offered again after 600 s), more than twice over.
SETTLE = 1500.0
#: How long a settled world must stay so.
STAYS = 5.0


@dataclass(kw_only=True)
class Outcome:
    plan: Plan
    invariant: str | None = None
    detail: str = ""
    log: list[tuple[float, str, str]] = field(default_factory=list)
    #: virtual seconds, and how many commands ran
    lasted: float = 0.0
    executions: int = 0

    @property
    def failed(self) -> bool:
        return self.invariant is not None

    def schedule(self) -> str:
        return "\n".join(f"{when - 1000.0:9.3f}  {who:6} {what}" for when, who, what in self.log)


def run(plan: Plan, *, mutant: Mutant = NONE, tracing: bool = False) -> Outcome:
    """Never raises for what the machines do: a crash of a machine is a violation, too."""
    world = World(plan, tracing=tracing)
    world.mutant = mutant
    outcome = Outcome(plan=plan, log=world.log)
    try:
        _run(world)
    except Violation as violation:
        outcome.invariant, outcome.detail = violation.invariant, violation.detail
    except Exception as error:
        outcome.invariant = "no machine crashes"
        outcome.detail = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"
    outcome.lasted = world.clock.now - 1000.0
    outcome.executions = len(world.ledger.executions)
    return outcome


def _run(world: World) -> None:
    plan, clock = world.plan, world.clock
    for name in plan.masters:
        world.masters.append(MasterHost(world, name, signatures=plan.signatures))
    for planned in plan.agents:
        world.agents.append(AgentHost(world, planned))
    late = 3.5 + _dies_at(plan) if "prompt" in plan.rules else 0.0
    for master in world.masters:
        clock.call_later(world.between(0.0, 2.0), master.start)
    for agent in world.agents:
        clock.call_later(late + world.between(0.0, 2.0), agent.start)
    jobs = _dead_masters_jobs(plan) if "prompt" in plan.rules else plan.jobs
    for job in jobs:
        clock.call_later(plan.warm_up + job.at, _job_comes, world, job)
    for operator in plan.operators:
        clock.call_later(plan.warm_up + operator.at, _operator_comes, world, operator)
    for fault in plan.faults:
        clock.call_later(plan.warm_up + fault.at, strike, world, fault)
    quiet = max(
        [
            0.0,
            *(fault.at + fault.lasts for fault in plan.faults),
            *(job.at for job in jobs),
            *(each.at for each in plan.operators),
        ]
    )
    clock.run_until(1000.0 + plan.warm_up + quiet + 0.001)
    _heal(world)
    deadline = clock.now + SETTLE
    while clock.now < deadline:
        clock.run_until(clock.now + 1.0)
        if "agents_leave" in plan.rules and all_ended(world):
            _agents_leave(world)
        if unsettled(world) is None:
            settled_at = clock.now
            clock.run_until(settled_at + STAYS)
            if unsettled(world) is None:
                break
    judge(world)


def _agents_leave(world: World) -> None:
    """For good; some say goodbye to the broker, of some it finds out."""
    for agent in world.agents:
        agent.retire(power_off=world.dice.random() < 0.5)
    world.agents.clear()


def _job_comes(world: World, plan: JobPlan) -> None:
    master = next(m for m in world.masters if m.name == plan.master)
    number = plan.index + 1
    job = Job(
        request=f"{master.name}-br-{number}" if plan.kind == "build" else f"{master.name}-br-{number}/step-1",
        kind="build" if plan.kind == "build" else "command",
        signature=plan.signature,
        script=plan.script,
        fencing=plan.fencing,
        priority=plan.priority,
        renders_run=plan.renders_run,
        seal=plan.seal,
        waited_for=plan.waited_for,
    )
    master.jobs[job.request] = job
    _when_up(world, master, job)


def _operator_comes(world: World, plan: OperatorPlan) -> None:
    """Whom it sees: an agent that runs and has told its status."""
    there = [agent for agent in world.agents if agent.link is not None and agent.link.up]
    if there:
        world.operators.append(OperatorHost(world, plan, there[plan.target % len(there)]))
        world.operators[-1].start()


def _when_up(world: World, master: MasterHost, job: Job) -> None:
    """A request that comes while the master is down waits in front of its door."""
    if master.buildbot is not None:
        master.buildbot.seek(job)
    else:
        world.clock.call_later(1.0, _when_up, world, master, job)


def _heal(world: World) -> None:
    """Whatever the faults left broken is repaired."""
    world.settling = True
    if not world.broker.up:
        world.broker.start()
    world.broker.block(False)
    at_office = world.plan.seed % 4 < 2
    for agent in world.agents:
        if agent.frozen:
            agent.thaw()
        if world.plan.both:
            agent.move(to_office=at_office)  # the fleet ends at one place
        agent.starts_keepers = True
        agent.heal()
        agent.start()
        agent.wellness()
    for operator in world.operators:
        operator.heal()
    for copy in world.copies:
        copy.retire(power_off=False)
    for twin in world.twins:
        twin.kill()
    for master in world.masters:
        master.heal()
        master.start()


def _dead_masters_jobs(plan: Plan) -> tuple[JobPlan, ...]:
    """20 offers of a master that dies before an agent is there, then builds of the one that lives.

    The agents need 5 s to find out (one claim unanswered); from then on nobody may notice that a master is dead.
    """
    command: dict[str, object] = {"duration": 0.5, "chunks": 1, "rc": 0}
    dies_at = _dies_at(plan)
    jobs = [_plain_job(i, 0.0, plan.masters[0], "build", command, plan) for i in range(20)]
    for i in range(6):
        at = dies_at + 8.0 + 7.3 * i
        jobs.append(_plain_job(100 + i, at, plan.masters[1], ("build", "command")[plan.seed % 2], command, plan))
    return tuple(jobs)


def _dies_at(plan: Plan) -> float:
    return plan.faults[0].at


def _plain_job(index: int, at: float, master: str, kind: str, command: dict[str, object], plan: Plan) -> JobPlan:
    return JobPlan(
        index=index,
        at=at,
        master=master,
        kind=kind,
        signature=plan.signatures[0],
        script=(command,),
        fencing=None,
        priority=0,
        renders_run=False,
        seal=False,
        waited_for=False,
    )
