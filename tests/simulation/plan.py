"""What happens in a schedule, before it happens: hosts, jobs and faults, all from a profile and a seed.

Faults are independent of each other, so that a failing plan can be shrunk by leaving some out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.profiles import PROFILES, Profile

#: Share of the jobs that are sealed.
SEALED = 0.25


@dataclass(frozen=True, kw_only=True)
class AgentPlan:
    name: str
    slots: int
    queues: frozenset[str]
    #: its consumers share their prefetch
    shares: bool


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """When a build request comes in at which master, and what it does."""

    index: int
    at: float
    master: str
    kind: str
    signature: str
    script: tuple[dict[str, Any], ...]
    fencing: float | None
    priority: int
    renders_run: bool
    waited_for: bool
    #: what is said of it is sealed (rule 24)
    seal: bool


@dataclass(frozen=True, kw_only=True)
class OperatorPlan:
    """When an operator tells which agent what to do (rule 26)."""

    index: int
    at: float
    target: int
    script: tuple[dict[str, Any], ...]
    seal: bool


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that happens at `at` and is undone `lasts` seconds later, where it can be undone."""

    index: int
    at: float
    kind: str
    target: int
    lasts: float
    #: a random number for what else there is to decide
    detail: float

    def __str__(self) -> str:
        return f"#{self.index} at {self.at:.2f} {self.kind} (target {self.target}, {self.lasts:.1f} s)"


@dataclass(frozen=True, kw_only=True)
class Plan:
    profile: str
    seed: int
    agents: tuple[AgentPlan, ...]
    masters: tuple[str, ...]
    signatures: tuple[str, ...]
    jobs: tuple[JobPlan, ...]
    faults: tuple[Fault, ...]
    operators: tuple[OperatorPlan, ...]
    heartbeat: float
    latency: tuple[float, float]
    timeout_cancels: bool
    slow_close: bool
    #: seconds after the start when jobs and faults begin: connections are young, or old enough for rule 15
    warm_up: float
    #: bytes that a master's events queue takes before it rejects
    events_limit: int
    rules: frozenset[str] = field(default_factory=frozenset)
    #: the master is its own broker
    office: bool = False
    #: … and is at a broker as well, while agents move
    both: bool = False

    def keep(self, faults: list[int] | None = None, jobs: list[int] | None = None) -> Plan:
        """The same plan with only these faults and jobs, by index."""
        kept = self
        if faults is not None and "prompt" not in self.rules:
            kept = replace(kept, faults=tuple(f for f in kept.faults if f.index in faults))
        if jobs is not None:
            kept = replace(kept, jobs=tuple(j for j in kept.jobs if j.index in jobs))
        return kept


def make_plan(name: str, seed: int) -> Plan:
    profile = PROFILES[name]
    dice = random.Random(f"{name}/{seed}")
    masters = tuple(f"m{i + 1}" for i in range(dice.choice(profile.masters)))
    signatures = ("gtk", "gtk+python", "python")[: dice.choice(profile.signatures)]
    queues = [f"cap.{signature}" for signature in signatures]
    sharing = random.Random(f"{name}/{seed}/sharing")  # apart, so that older seeds make the plans that they made
    agents = []
    for i in range(dice.choice(profile.agents)):
        mine = frozenset(queues) if i == 0 or dice.random() < 0.6 else frozenset(dice.sample(queues, 1))
        slots = dice.choice(profile.slots)
        shares = slots == 1 and sharing.random() < 0.6
        agents.append(AgentPlan(name=f"a{i + 1}", slots=slots, queues=mine, shares=shares))
    sealing = random.Random(f"{name}/{seed}/seals")  # apart, as well
    jobs = tuple(_job(dice, sealing, profile, i, masters, signatures) for i in range(dice.choice(profile.jobs)))
    faults = [_fault(dice, profile, i) for i in range(dice.choice(profile.faults))]
    faults.sort(key=lambda fault: fault.at)
    return Plan(
        profile=name,
        seed=seed,
        agents=tuple(agents),
        masters=masters,
        signatures=signatures,
        jobs=jobs,
        faults=tuple(replace(fault, index=i) for i, fault in enumerate(faults)),
        operators=_operators(random.Random(f"{name}/{seed}/operators"), profile),
        heartbeat=dice.choice((5.0, 10.0)),
        latency=dice.choice(profile.latencies),
        timeout_cancels=dice.random() < 0.3,
        slow_close=dice.random() < 0.5,
        warm_up=dice.choice(profile.warm_ups),
        events_limit=dice.choice(profile.events_limits),
        rules=frozenset(profile.rules),
        office=profile.office,
        both=profile.both,
    )


def _job(
    dice: random.Random,
    sealing: random.Random,
    profile: Profile,
    index: int,
    masters: tuple[str, ...],
    signatures: tuple[str, ...],
) -> JobPlan:
    kind = "command" if dice.random() < profile.commands else "build"
    script = []
    for _ in range(dice.choice((1, 2, 3))):
        command: dict[str, Any] = {
            "duration": dice.choice(profile.durations) * (0.5 + dice.random()),
            "chunks": dice.choice((0, 1, 3, 6)),
            "rc": 1 if dice.random() < 0.15 else 0,
        }
        if dice.random() < profile.bulk:
            command |= {"bulk": True, "chunks": dice.choice((6, 20, 40))}
        if kind == "build" and dice.random() < 0.15:
            command["pull"] = dice.choice((1000, 600_000))
        script.append(command)
    return JobPlan(
        index=index,
        at=dice.uniform(0.0, profile.span * 0.7),
        master=dice.choice(masters),
        kind=kind,
        signature=dice.choice(signatures),
        script=tuple(script),
        fencing=dice.choice((6.0, 10.0, 30.0)) if dice.random() < profile.strict else None,
        priority=dice.choice((0, 0, 0, 5)),
        renders_run=kind == "build" and dice.random() < profile.renders_run,
        waited_for=kind == "build" and dice.random() < profile.waited_for,
        seal=sealing.random() < SEALED,
    )


def _operators(dice: random.Random, profile: Profile) -> tuple[OperatorPlan, ...]:
    made = []
    for index in range(dice.choice(profile.operators)):
        script = tuple(
            {
                "duration": dice.choice(profile.durations) * (0.5 + dice.random()),
                "chunks": dice.choice((0, 1, 6)),
                "rc": 0,
            }
            for _ in range(dice.choice((1, 1, 3)))
        )
        at, target = dice.uniform(0.0, profile.span), dice.randrange(1000)
        made.append(OperatorPlan(index=index, at=at, target=target, script=script, seal=dice.random() < SEALED))
    return tuple(made)


def _fault(dice: random.Random, profile: Profile, index: int) -> Fault:
    kinds = list(profile.kinds)
    kind = dice.choices(kinds, weights=[profile.kinds[k] for k in kinds])[0]
    low, high = profile.lasts
    # mostly short: what matters happens around the grace and the time-outs
    lasts = low + (high - low) * dice.random() ** 2
    return Fault(
        index=index,
        at=dice.uniform(profile.begins, profile.span),
        kind=kind,
        target=dice.randrange(1000),
        lasts=lasts,
        detail=dice.random(),
    )
