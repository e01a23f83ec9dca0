"""How often an agent tells its status where nothing is new (rule 27)."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage
from contracts.messages import Status
from contracts.timing import STATUS_INTERVAL, STATUS_INTERVAL_MAX, STATUSES_WANTED_FOR

requirement = Topic()
RULE = 27
#: Seconds between two statuses that are seldom enough to be told from the usual ones, in a scene that does not last.
SELDOM = 2 * int(STATUS_INTERVAL)


def _wants(stage: Stage, every: int) -> Status:
    """The master says that this is often enough, until what was wanted before counts no more: the agent's status then.

    Seconds. It is asked for: the next one that comes unasked may be far away.
    """
    stage.master.status_every = every
    stage.master.alive()
    stage.master.pump(STATUSES_WANTED_FOR + 1.0)
    return stage.status()


def _next(stage: Stage, within: float, what: str) -> Status:
    """The next status that nobody asked for."""
    before = len(stage.master.all(Status))
    told: Status = stage.master.wait(
        lambda: next(iter(stage.master.all(Status)[before:]), None), what, within + stage.master.patience
    )
    return told


@requirement(
    "statuses.seldom",
    "Where every master says how seldom its status is enough, it says so in it and tells no more",
    rule=RULE,
    level="should",
)
def seldom(stage: Stage) -> None:
    told = _wants(stage, SELDOM)
    expect(told.every == SELDOM, f"its `every` is {told.every} s, though the only master wants {SELDOM} s", told)
    first = _next(stage, SELDOM, f"a status within {SELDOM} s")
    second = _next(stage, SELDOM, f"the next status, within the {SELDOM} s that its last one says")
    # by the agent's own clock: what a busy machine delivers late was told in time
    gap = second.now - first.now
    expect(gap > (SELDOM + STATUS_INTERVAL) / 2, f"two statuses, though nothing is new, {gap:.1f} s apart", second)


@requirement(
    "statuses.often",
    "It tells its status within 5 s of a roll call, and of a master that wants it every 5 s",
    rule=RULE,
)
def often(stage: Stage) -> None:
    _wants(stage, STATUS_INTERVAL_MAX)
    stage.roll_call()
    _next(stage, STATUS_INTERVAL, "a status within 5 s of a roll call, as a new master knows nobody")
    stage.master.status_every = int(STATUS_INTERVAL)
    stage.master.alive()
    told = _next(stage, STATUS_INTERVAL, "a status within 5 s of an `alive` that wants one every 5 s")
    expect(told.every == STATUS_INTERVAL, f"its `every` is {told.every} s, though a master wants {STATUS_INTERVAL:g} s")
