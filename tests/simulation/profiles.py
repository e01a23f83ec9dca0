"""Families of schedules: which faults, how many, among how many hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LINKS = {
    "cut_agent": 4,
    "half_cut_agent": 2,
    "reset_agent": 4,
    "cut_master": 2,
    "half_cut_master": 1,
    "reset_master": 2,
}
_AGENTS = {
    "power_off_agent": 3,
    "no_processes": 3,
    "kill_agent": 4,
    "restart_agent": 4,
    "wipe_agent": 1,
    "kill_keeper": 2,
    "freeze_agent": 2,
    "oom": 1,
}
_MASTERS = {"power_off_master": 2, "kill_master": 4, "quick_stop": 2, "stall_master": 1}
_BROKER = {"kill_broker": 3, "kill_broker_lose_flags": 3, "block_broker": 2, "consumer_timeout": 3}
_STRANGERS = {"strange_messages": 3, "replayed_messages": 3}
_OF_OFFICE = {"drain_agent": 1, "stop_agent": 1, "unwell_agent": 2, "stop_job": 2, "reroute_job": 1}
_PEOPLE = {"drain_agent": 1, "stop_agent": 1, "unwell_agent": 2, "stop_job": 2, "reroute_job": 1, "purge_queue": 1}


@dataclass(frozen=True, kw_only=True)
class Profile:
    kinds: Mapping[str, int]
    faults: Sequence[int] = (1, 2, 3, 4, 6)
    agents: Sequence[int] = (1, 2, 3)
    masters: Sequence[int] = (1,)
    signatures: Sequence[int] = (1, 2, 3)
    slots: Sequence[int] = (1, 1, 2)
    jobs: Sequence[int] = (1, 2, 4, 6)
    #: seconds between which faults begin
    begins: float = 1.0
    span: float = 40.0
    #: least and most seconds that a fault lasts
    lasts: tuple[float, float] = (0.05, 45.0)
    #: least and most seconds of one way of the wire
    latencies: Sequence[tuple[float, float]] = ((0.0005, 0.002), (0.001, 0.02), (0.01, 0.15))
    #: seconds before anything happens; rule 15's first deliveries need connections that are older than a minute
    warm_ups: Sequence[float] = (3.0, 95.0)
    #: bytes that a master's events queue takes before it rejects; a few hundred KiB are soon full
    events_limits: Sequence[int] = (64 * 1024 * 1024,)
    #: seconds that a command runs, more or less
    durations: Sequence[float] = (0.01, 0.3, 2.0, 8.0, 20.0)
    #: shares of jobs that are command offers, fenced strictly, have megabytes of log, render their build number
    commands: float = 0.3
    strict: float = 0.0
    bulk: float = 0.0
    renders_run: float = 0.0
    #: how many operators tell an agent what to do
    operators: Sequence[int] = (0,)
    #: share of builds that a step of another build waits for
    waited_for: float = 0.0
    #: invariants that hold in this profile only (verdict.py)
    rules: frozenset[str] = field(default_factory=frozenset)
    #: there is no broker: the master is its own
    office: bool = False
    #: … and is at a broker as well, while agents move from one to the other
    both: bool = False


PROFILES: Mapping[str, Profile] = {
    "calm": Profile(kinds={"stop_job": 1}, faults=(0,), rules=frozenset({"once", "no_retry"})),
    "links": Profile(kinds=_LINKS),
    "agents": Profile(kinds=_AGENTS, renders_run=0.1),
    "masters": Profile(kinds=_MASTERS, renders_run=0.1, waited_for=0.2, masters=(1, 1, 2)),
    "broker": Profile(kinds=_BROKER),
    "people": Profile(kinds={**_PEOPLE, "reset_agent": 1, "kill_master": 1, "restart_agent": 1}),
    "commands": Profile(kinds={**_LINKS, **_AGENTS, **_MASTERS, **_BROKER}, commands=1.0, faults=(1, 2, 3)),
    "strict": Profile(kinds={**_LINKS, **_AGENTS, **_MASTERS, "kill_broker": 3}, strict=1.0),
    "two_masters": Profile(
        kinds={**_MASTERS, "cut_master": 2, "reset_master": 2, "kill_broker": 1, "restart_agent": 1},
        masters=(2,),
        signatures=(2, 3),
        jobs=(4, 6, 8),
    ),
    "flow": Profile(
        kinds={**_LINKS, "restart_agent": 3, "kill_master": 3, "stall_master": 4, "kill_broker": 2, "block_broker": 2},
        bulk=0.7,
        jobs=(1, 2, 3),
        events_limits=(64 * 1024 * 1024, 600 * 1024, 300 * 1024),
    ),
    "mixed": Profile(
        kinds={**_LINKS, **_AGENTS, **_MASTERS, **_BROKER, **_PEOPLE, **_STRANGERS},
        masters=(1, 2),
        agents=(1, 2, 3, 4),
        faults=(3, 5, 8, 12),
        strict=0.15,
        bulk=0.05,
        renders_run=0.05,
        waited_for=0.1,
    ),
    "office": Profile(kinds={**_LINKS, **_AGENTS, **_MASTERS, **_OF_OFFICE}, office=True, strict=0.1, bulk=0.05),
    "office_commands": Profile(kinds={**_LINKS, **_AGENTS, **_MASTERS}, office=True, commands=1.0, faults=(1, 2, 3)),
    "office_restart": Profile(
        kinds={"kill_master": 5, "quick_stop": 3, "reset_agent": 1, "reset_master": 1},
        office=True,
        faults=(1, 2, 3),
        commands=0.25,
        lasts=(0.3, 60.0),
        rules=frozenset({"once"}),
    ),
    "moving": Profile(
        kinds={**_LINKS, **_AGENTS, **_MASTERS, "kill_broker": 2, "block_broker": 1, "move_agent": 12, "stop_job": 1},
        both=True,
        faults=(2, 3, 5, 8),
        agents=(1, 2, 3),
        strict=0.1,
        bulk=0.05,
    ),
    # agents that move, and masters that are killed meanwhile: whatever a first attachment began runs once
    "moving_once": Profile(
        kinds={"move_agent": 6, "kill_master": 2, "quick_stop": 1, "reset_master": 1, "reset_agent": 1},
        both=True,
        faults=(2, 3, 5, 8),
        agents=(1, 2, 3),
        commands=0.4,
        rules=frozenset({"once"}),
    ),
    # operators tell agents what to do, beside their builds
    "operators": Profile(
        kinds={
            **_LINKS,
            **_AGENTS,
            "kill_operator": 6,
            "cut_operator": 3,
            "reset_operator": 4,
            "kill_broker": 3,
            "kill_broker_lose_flags": 2,
            "block_broker": 1,
            "unwell_agent": 2,
            "drain_agent": 1,
            "kill_master": 1,
        },
        operators=(1, 2, 3, 6),
        lasts=(0.05, 150.0),
        strict=0.1,
    ),
    # … and nothing is in their way: they wait for no build, and no build for them
    "operators_calm": Profile(
        kinds={"stop_job": 1},
        faults=(0,),
        operators=(1, 2, 4),
        agents=(1, 1, 2),
        jobs=(4, 6),
        rules=frozenset({"once", "no_retry", "taken"}),
    ),
    # only masters and short cuts: whatever a first attachment began runs once
    "restart": Profile(
        kinds={"kill_master": 5, "quick_stop": 3, "reset_agent": 1, "reset_master": 1},
        faults=(1, 2, 3),
        commands=0.25,
        lasts=(0.3, 60.0),
        rules=frozenset({"once"}),
    ),
    # master and agent start anew while commands run: a session is granted for a second build, and that is remembered
    "both_restart": Profile(
        kinds={"kill_master": 1, "restart_agent": 1},
        faults=(3, 4, 6),
        lasts=(0.3, 5.0),
        durations=(8.0, 20.0),
        commands=0.0,
    ),
    # agents live, and reach the broker whenever it is there: nothing runs twice, whatever the broker forgets
    "blackout": Profile(
        kinds={
            "kill_broker": 2,
            "kill_broker_lose_flags": 4,
            "block_broker": 1,
            "kill_master": 4,
            "quick_stop": 1,
            "power_off_master": 1,
            "stale_master": 1,
            "reset_master": 4,
        },
        faults=(2, 3, 4, 6),
        agents=(2, 3),
        jobs=(2, 4, 8),
        commands=0.6,
        rules=frozenset({"once"}),
    ),
    # more command offers than agents, while their master comes and goes: copies of one offer wait side by side
    "crowd": Profile(
        kinds={"reset_master": 5, "kill_master": 5, "quick_stop": 1},
        faults=(2, 3, 4),
        agents=(2, 3),
        signatures=(1,),
        slots=(1,),
        jobs=(6, 8),
        commands=1.0,
        lasts=(5.0, 60.0),
        warm_ups=(95.0,),
        rules=frozenset({"once"}),
    ),
    # far more work than agents, in several queues at once: each queue is served in its turn
    "backlog": Profile(
        kinds={"reset_agent": 2, "kill_agent": 1, "restart_agent": 1, "reset_master": 1},
        faults=(0, 1, 2),
        agents=(1, 2),
        signatures=(2,),
        jobs=(60,),
        durations=(0.01, 0.3),
        commands=0.2,
        span=5.0,
    ),
    # a cluster: each election leaves channels behind on which nothing arrives any more
    "leaders": Profile(
        kinds={"lose_leaders": 8, "reset_agent": 1, "reset_master": 1, "kill_master": 1},
        faults=(1, 2, 3, 4),
        masters=(1, 1, 2),
        bulk=0.1,
        rules=frozenset({"once"}),
    ),
    # one connection of two is dead and does not know it
    "stale": Profile(kinds={"stale_agent": 4, "stale_master": 2, "lose_leaders": 1, "kill_master": 1}, masters=(1, 2)),
    # malformed, forged and replayed messages at every queue of both sides
    "strangers": Profile(
        kinds={"strange_messages": 6, "replayed_messages": 6, "reset_agent": 1, "kill_master": 1, "restart_agent": 1},
        masters=(1, 2),
        commands=0.2,
    ),
    # copies of a state folder on another machine, switched on beside the first: they cost nobody a build
    "copies": Profile(
        kinds={"copy_agent": 1},
        agents=(1, 2),
        lasts=(1.0, 20.0),
        rules=frozenset({"once", "no_retry"}),
    ),
    # a second master is given the name of a first that runs
    "twins": Profile(
        kinds={"twin_master": 4, "reset_agent": 1},
        faults=(1, 2),
        lasts=(75.0, 90.0),
        rules=frozenset({"once", "no_retry"}),
    ),
    # when the last job has ended all agents go for good: nobody comes any more for what is left in the queues
    "last_agents": Profile(
        kinds={
            **_AGENTS,
            "reset_agent": 3,
            "cut_agent": 2,
            "reset_master": 5,
            "kill_master": 4,
            "consumer_timeout": 3,
            "stop_job": 2,
            "reroute_job": 2,
        },
        masters=(1, 2),
        rules=frozenset({"agents_leave"}),
    ),
    # 20 offers of a dead master, and a living one
    "dead_master": Profile(
        kinds={"bury_master": 1},
        faults=(1,),
        masters=(2,),
        agents=(4,),
        signatures=(1,),
        slots=(1,),
        jobs=(0,),
        begins=6.0,
        latencies=((0.0005, 0.002), (0.001, 0.02)),
        warm_ups=(3.0,),
        lasts=(70.0, 71.0),
        rules=frozenset({"prompt"}),
    ),
}
#: Profiles that are searched on their own: a backlog costs ten times as much as any other; the others came later, and
#: the seeds of old are to keep their profiles.
APART = (
    "backlog",
    "leaders",
    "stale",
    "office",
    "office_commands",
    "office_restart",
    "moving",
    "moving_once",
    "operators",
    "operators_calm",
)
#: Which seed is of which profile, in a search through all others.
ROTATION = tuple(name for name in PROFILES if name not in APART)
