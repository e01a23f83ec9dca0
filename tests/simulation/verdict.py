"""The invariants that are checked when a schedule has settled. `unsettled` says what it still waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from contracts.timing import DIRECT_AGAIN
from contracts.topology import DEAD_QUEUE, OPERATORS_PREFIX
from tests.simulation.ledger import DELIVERIES_MAX, Violation
from tests.simulation.strangers import FORGED, FORGED_REQUEST
from tests.simulation.world import read

if TYPE_CHECKING:
    from tests.simulation.hosts.buildbot import Job
    from tests.simulation.world import World

#: How long an operator may wait for an agent that holds fewer than 4 sessions of operators.
TAKEN = 3 * DIRECT_AGAIN
#: How long a living master's build may wait for an idle agent beside a dead master's offers.
PROMPT = 1.0


def all_ended(world: World) -> bool:
    return all(job.result is not None for master in world.masters for job in master.jobs.values())


def unsettled(world: World) -> str | None:
    """None when nothing is left over and everybody is idle; else the first thing that is."""
    for master in world.masters:
        for job in master.jobs.values():
            if job.result is None:
                return f"{job.request} has not ended"
        if master.machine is not None and master.machine.requests():
            return f"{master.name} still has {[view.request for view in master.machine.requests()]}"
    for operator in world.operators:
        if not operator.is_over:
            return f"{operator.name} still runs"
    for agent in world.agents:
        if agent.machine is None:
            return f"{agent.name} does not run"
        for session, keeper in sorted(agent.keepers.items()):
            return f"{agent.name} has a keeper of {session}" + (" that runs a command" if keeper.executing else "")
        if agent.disk.metas:
            return f"{agent.name} has sessions on its disk: {sorted(agent.disk.metas)}"
        if agent.disk.journals:
            return f"{agent.name} has journals: {sorted(agent.disk.journals)}"
        busy = [slot for slot in agent.machine.slots() if slot.state != "idle"]
        if busy:
            return f"{agent.name} is not idle: {busy[0].state} {busy[0].session}"
        for name in sorted(agent.queues):
            queue = world.broker.queues.get(name)
            mine = (
                []
                if queue is None
                else [
                    c
                    for c in cast("list[Any]", queue.consumers)
                    if c.channel.connection.name.startswith(f"{agent.name} ")
                ]
            )
            if queue is not None and len(mine) != 1 and not agent.at_office:
                return f"{agent.name} has {len(mine)} consumers on {name}"
    if world.plan.office or world.plan.both:
        left = _unsettled_office(world)
        if left is not None or world.plan.office:
            return left
    moved = world.plan.both and any(agent.at_office for agent in world.agents)
    addresses = [name for name in world.broker.queues if name.startswith("agent.")]
    if len(addresses) > len(world.agents):
        return f"ghosts of control queues are left: {addresses}"
    readers = [name for name in world.broker.queues if name.startswith("fleet.")]
    if len(readers) > len(world.masters):
        return f"ghosts of fleet queues are left: {readers}"
    for name, queue in sorted(world.broker.queues.items()):
        if name == DEAD_QUEUE or name.startswith(("agent.", "fleet.")) or OPERATORS_PREFIX in name:
            continue
        if moved and name.startswith("cap.") and not queue.unacked:
            continue  # copies of offers, which nobody takes any more
        if len(queue) or queue.unacked:
            return f"queue {name} has {len(queue)} messages and {len(queue.unacked)} unacknowledged"
    return None


def _unsettled_office(world: World) -> str | None:
    if world.office is None:
        return "nobody listens for agents"
    left = world.office.office.left_over()
    here = [agent for agent in world.agents if agent.at_office]
    if left and not (left.endswith("bytes of offers") and not here):  # copies, which nobody takes any more
        return f"the post office has left over: {left}"
    if len(world.office.connections) != len(here):
        return f"{len(world.office.connections)} connections of {len(here)} agents"
    return None


def judge(world: World) -> None:
    """Raise `Violation` for what a settled world must not show."""
    waits_for = unsettled(world)
    if waits_for is not None:
        raise Violation("nothing is left over, every agent ends idle and consuming", waits_for)
    running = [execution for executions in world.ledger.running.values() for execution in executions]
    if running:
        raise Violation("no command runs on", f"{running[0].session} command {running[0].n} on {running[0].host}")
    for identity, count in world.broker.deliveries.items():
        if count > DELIVERIES_MAX:
            raise Violation("no message is delivered more than 25 times", f"message {identity}: {count} times")
    for master in world.masters:
        for job in master.jobs.values():
            _judge_result(job)
    _judge_operators(world)
    _judge_dead(world)
    if "once" in world.plan.rules:
        _judge_once(world)
    if "no_retry" in world.plan.rules:
        _judge_no_retry(world)
    if "prompt" in world.plan.rules:
        _judge_prompt(world)


def _judge_result(job: Job) -> None:
    allowed = {job.scripted}
    if job.stop_wanted:
        allowed.add("CANCELLED")
    if job.result not in allowed and job.result != "EXCEPTION":  # EXCEPTION: checked when it came (three lives)
        raise Violation("a build ends with the result its commands had", f"{job.request}: {job.result}, not {allowed}")


def _judge_operators(world: World) -> None:
    targets = {operator.job.request: operator.target.name for operator in world.operators}
    seen: set[tuple[str, int]] = set()
    for execution in world.ledger.executions:
        where = f"{execution.request} command {execution.n} on {execution.host}"
        target = targets.get(execution.request)
        if target is not None and execution.host != target:
            raise Violation("an operator's command runs on the agent that was told", f"{where}, told was {target}")
        if target is not None and (execution.request, execution.n) in seen:
            raise Violation("an operator's command runs once", where)
        seen.add((execution.request, execution.n))
    for operator in world.operators if "taken" in world.plan.rules else ():
        (sought, taken), *_ = operator.job.waits
        assert sought is not None
        if taken is None or taken - sought > TAKEN:
            waited = "for ever" if taken is None else f"{taken - sought:.2f} s"
            raise Violation("an operator waits for no build", f"{operator.job.request} waited {waited}")


def _judge_dead(world: World) -> None:
    """Only offers that cost three lives lie in `dead`, and what strangers sent."""
    abandoned = {job.request for master in world.masters for job in master.jobs.values() if job.result == "EXCEPTION"}
    queue = world.broker.queues.get(DEAD_QUEUE)
    for message in queue.messages() if queue is not None else ():
        dead = read(message.body)
        if message.body in world.strange or getattr(dead, "session", None) == FORGED:
            continue
        if world.strange and getattr(dead, "detail", None) == "never had":
            continue  # an agent's answer to what was forged
        request = getattr(dead, "request", None)
        if request == FORGED_REQUEST:
            continue  # an agent's claim of a forged offer, which shows no ticket
        if request not in abandoned:
            raise Violation("nothing goes to the dead that lives", f"{dead!r}")


def _judge_once(world: World) -> None:
    """A command of a first attachment runs once, whatever happens to masters."""
    seen: dict[tuple[str, str, int], str] = {}
    for execution in world.ledger.executions:
        key = (execution.request, execution.digest, execution.n)
        if key in seen:
            detail = f"{execution.request} command {execution.n} ran in {seen[key]} and in {execution.session}"
            raise Violation("a restarted master runs no command again", detail)
        seen[key] = execution.session


def _judge_no_retry(world: World) -> None:
    for master in world.masters:
        for job in master.jobs.values():
            if len(job.runs) > 1:
                raise Violation("without faults nothing is tried twice", f"{job.request}: runs {job.runs}")


def _judge_prompt(world: World) -> None:
    living = world.masters[1]
    for job in living.jobs.values():
        for sought, attached in job.waits:
            assert sought is not None
            # the roll-call window is the living master's own affair
            if attached is None or attached - sought > PROMPT:
                waited = "for ever" if attached is None else f"{attached - sought:.2f} s"
                raise Violation("a dead master delays a living one by under a second", f"{job.request} waited {waited}")
