"""Why a build waits, or where it runs: what is known of it, put in sentences. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from contracts import topology
from contracts.errors import BadRequirement
from contracts.messages import ExpectedStart, Status, Work, WorkView
from contracts.readable import duration, moment
from contracts.requirements.nearest_misses import Miss, nearest_misses
from contracts.requirements.sets import Requirements
from master_bridge.fleet.columns import SEEKING
from master_bridge.operating.port import QueueFigures

#: Nearest misses that are told, and agents that are named for each.
MISSES_SHOWN, NAMES_SHOWN = 5, 5
#: Slots of one agent that are told.
SLOTS_SHOWN = 20

Found = tuple[Work, WorkView]

#: States of a request that has no agent.
WAITING = (*SEEKING, "pending")


def find(works: Iterable[Work], wanted: str) -> list[Found]:
    """Requests that `wanted` names: a request ("br-17", "17"), a title ("linux #3"), or a part of a title."""
    everything = [(work, view) for work in works for view in work.requests]
    key = wanted.removeprefix("br-")
    exact = [
        (work, view)
        for work, view in everything
        if view.title == wanted or view.request == f"br-{key}" or view.request.startswith(f"br-{key}/")
    ]
    return exact or [(work, view) for work, view in everything if wanted.lower() in view.title.lower()]


def place_in_line(works: Iterable[Work], found: Found) -> int:
    """From 1, by priority and age, among all that wait for the same, or are held back for the same builder."""
    work, view = found

    def same(other: Work, each: WorkView) -> bool:
        if view.state == "pending":
            return each.state == "pending" and other.master == work.master and each.title == view.title
        return each.state in SEEKING and each.signature == view.signature

    line = sorted(
        (-each.priority, moment(each.since), other.master, each.request)
        for other in works
        for each in other.requests
        if same(other, each)
    )
    return 1 + line.index((-view.priority, moment(view.since), work.master, view.request))


def explain(
    found: Found, agents: Sequence[Status], queue: QueueFigures | None, now: float, place: int | None = None
) -> list[str]:
    """Lines for people. `queue` is that of its signature, None where there is none; `now`: seconds since the epoch;
    `place`: that of `place_in_line`."""
    work, view = found
    name = f"{view.title or view.request} ({view.request}) of master {work.master}"
    since = (
        f"since {time.strftime('%H:%M:%S', time.localtime(moment(view.since)))} ({duration(now - moment(view.since))})"
    )
    if view.state in ("held", "granted", "missing", "unasked"):
        return [f"{name}: {_with_agent(view)} {since}", *_lives(view)]
    if view.state == "pending":
        return [
            f"{name}: waits {since}, and Buildbot has not started it: {view.reason}",
            *_line_and_start(view, now, place),
        ]
    needs = view.signature or "any"
    lines = [f"{name}: waits {since} for {'any agent' if needs == 'any' else f'an agent with {needs}'}"]
    if view.state == "window":
        lines.append("the master asks first whether an agent has it already")
    lines += _lives(view)
    lines += _line_and_start(view, now, place)
    lines.append(_queue_line(topology.cap_queue(needs), queue))
    try:
        requirements = Requirements.from_signature(needs)
    except BadRequirement as error:
        return [*lines, f"its signature cannot be read: {error}"]
    return lines + agents_lines(requirements, agents, now)


def agents_lines(requirements: Requirements, agents: Sequence[Status], now: float) -> list[str]:
    """Who qualifies and what each of them does; where nobody does, what the nearest lack."""
    if not agents:
        return ["no agent is alive"]
    able = [status for status in agents if requirements.satisfied_by(status.capabilities)]
    lines = [f"{len(able)} of {len(agents)} live agents qualify"]
    lines += [f"  {status.agent}: {doing(status, now)}" for status in able]
    if not able:
        nearest = nearest_misses(requirements, ((status.agent, status.capabilities) for status in agents))
        lines += [f"  {_with_names(miss)}" for miss in nearest[:MISSES_SHOWN]]
        if rest := sum(len(miss.agents) for miss in nearest[MISSES_SHOWN:]):
            lines.append(f"  … and {rest} more that lack as much or more")
    return lines


def doing(status: Status, now: float) -> str:
    """`busy: linux #3 for 5 min`, `idle`, `paused (asked by an operator: disk)`."""
    slots = status.for_builds
    busy = [slot for slot in slots if slot.state in ("claiming", "held")]
    if status.state != "ready":
        text = status.state + (f" ({'; '.join(status.reasons)})" if status.reasons else "")
    elif len(busy) < len(slots):
        text = "idle" if not busy else f"{len(slots) - len(busy)} of {len(slots)} slots idle"
    else:
        text = "busy"
    if busy:
        text += ": " + ", ".join(
            f"{slot.title or slot.session or 'a claim'} for {duration(now - moment(slot.since))}"
            for slot in busy[:SLOTS_SHOWN]
        )
        if len(busy) > SLOTS_SHOWN:
            text += f" and {len(busy) - SLOTS_SHOWN} more"
    return text


def _line_and_start(view: WorkView, now: float, place: int | None) -> list[str]:
    lines = [] if place is None else [f"it is number {place} in its line"]
    if view.expected is not None:
        lines.append(_expected_line(view.expected, now))
    return lines


def _expected_line(expected: ExpectedStart, now: float) -> str:
    early, likely, late = (moment(each) for each in (expected.early, expected.likely, expected.late))
    if late <= now:
        return "expected to start now"
    span = f"{duration(max(0.0, early - now))} to {duration(late - now)}"
    return f"expected to start at {time.strftime('%H:%M:%S', time.localtime(likely))} (in {span})"


def _with_agent(view: WorkView) -> str:
    agent = view.agent or "an agent"
    return {
        "held": f"runs on {agent}",
        "granted": f"is being taken by {agent}",
        "missing": f"runs on {agent}, which does not answer",
        "unasked": f"is kept by {agent}, until Buildbot asks for it again",
    }[view.state]


def _lives(view: WorkView) -> list[str]:
    if not view.lives:
        return []
    return [f"it has been lost {view.lives} time{'s' if view.lives > 1 else ''} with its agent"]


def _queue_line(name: str, queue: QueueFigures | None) -> str:
    if queue is None:
        return f"there is no queue {name} at the broker: its master is not connected"
    return f"queue {name}: {queue.ready} waiting in it, {queue.consumers} consumers"


def _with_names(miss: Miss) -> str:
    if len(miss.agents) == 1:
        return str(miss)
    more = f" and {len(miss.agents) - NAMES_SHOWN} more" if len(miss.agents) > NAMES_SHOWN else ""
    return f"{miss} ({', '.join(miss.agents[:NAMES_SHOWN])}{more})"
