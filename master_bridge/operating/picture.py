"""The fleet as one picture: for programs as plain fields, for people as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts import topology
from contracts.messages import Status, Work
from contracts.protocol_version import Versions
from contracts.readable import duration, moment, shown
from master_bridge.operating.connection import QueueFigures
from master_bridge.operating.survey import Survey

#: Colours of states.
_STYLES = {"ready": "green", "idle": "green", "held": "bold", "unwell": "red", "paused": "yellow", "draining": "yellow"}
#: Capabilities are many: a table shows so many characters of them.
CAPABILITIES_SHOWN = 60
#: Slots of one agent in a table.
SLOTS_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Picture:
    """At `now`, seconds since the epoch. `foreign`: who uses a version that we, or a master, do not, and which."""

    now: float
    agents: tuple[Status, ...]
    works: tuple[Work, ...]
    queues: tuple[QueueFigures, ...]
    foreign: tuple[tuple[str, str], ...] = ()
    #: accounts that say more than is kept of one
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, survey: Survey, queues: Iterable[QueueFigures], *, now: float) -> Picture:
        """What `survey` has heard so far; `now`: seconds since the epoch."""
        return cls(
            now=now,
            agents=tuple(survey.agents),
            works=tuple(survey.works),
            queues=tuple(queues),
            foreign=(*sorted(survey.foreign.items()), *_strangers(survey)),
            left_out=tuple(sorted(survey.left_out)),
        )

    def fields(self) -> dict[str, Any]:
        """Plain data; times are seconds since the epoch."""
        return {
            "now": self.now,
            "agents": [
                {
                    **agent.model_dump(mode="json", exclude={"t", "v", "upto", "now", "address", "capabilities"}),
                    "account": topology.address_user(agent.address),
                    "protocol": [agent.v, agent.upto],
                    "clock_ahead": round(agent.now - self.now, 1),
                    "capabilities": {each.name: each.version for each in agent.capabilities},
                }
                for agent in self.agents
            ],
            "masters": [
                {
                    **work.model_dump(mode="json", exclude={"t", "v", "upto", "now", "incarnation"}),
                    "protocol": [work.v, work.upto],
                }
                for work in self.works
            ],
            "queues": [{**asdict(queue), "signature": topology.queue_signature(queue.name)} for queue in self.queues],
            "incompatible": [{"sender": sender, "reason": reason} for sender, reason in self.foreign],
        }


def _strangers(survey: Survey) -> Iterable[tuple[str, str]]:
    """Agents and masters that we can read, but not each other."""
    for agent in survey.agents:
        theirs = Versions(oldest=agent.v, newest=agent.upto)
        for work in survey.works:
            masters = Versions(oldest=work.v, newest=work.upto)
            if theirs.common(masters) is None:
                yield (
                    agent.agent,
                    f"protocol version {theirs}; master {work.master} speaks {masters}, so it gets no work of it: "
                    "upgrade the older of the two",
                )


def draw(picture: Picture) -> RenderableType:
    """For a terminal: agents, queues, requests."""
    parts: list[RenderableType] = [_agents(picture)]
    if picture.queues:
        parts.append(queue_table(picture.queues))
    for sender, reason in picture.foreign:
        parts.append(foreign_text(f"incompatible: {sender}: {reason}", style="red"))
    for account in picture.left_out:
        parts.append(foreign_text(f"account {account} tells more than is shown of one account", style="red"))
    busy = sum(slot.state == "held" for agent in picture.agents for slot in agent.slots)
    waiting = sum(view.state in ("waiting", "window") for work in picture.works for view in work.requests)
    parts.append(Text(f"{len(picture.agents)} agents, {busy} sessions, {waiting} requests wait"))
    return Group(*parts)


def _agents(picture: Picture) -> Table:
    table = Table(title="Agents", title_justify="left")
    for column in ("agent", "state", "slot", "does", "since", "capabilities", "version"):
        table.add_column(column, overflow="fold")
    for agent in picture.agents:
        reasons = f"\n{shown('; '.join(agent.reasons))}" if agent.reasons else ""
        can = ", ".join(f"{each.name} {each.version}" if each.version else each.name for each in agent.capabilities)
        if len(can) > CAPABILITIES_SHOWN:
            can = f"{can[:CAPABILITIES_SHOWN]}… ({len(agent.capabilities)})"
        for number, slot in enumerate(agent.slots[:SLOTS_SHOWN]):
            first = number == 0
            does = slot.title or slot.session or slot.state if slot.state != "idle" else "idle"
            table.add_row(
                foreign_text(agent.agent) if first else "",
                Text(agent.state + reasons, style=_STYLES.get(agent.state, "")) if first else "",
                str(number),
                foreign_text(f"{does} ({slot.master})" if slot.master else does, style=_STYLES.get(slot.state, "")),
                duration(picture.now - moment(slot.since)) if slot.since else "",
                foreign_text(can) if first else "",
                foreign_text(agent.version) if first else "",
            )
        if len(agent.slots) > SLOTS_SHOWN:
            table.add_row("", "", "", Text(f"… and {len(agent.slots) - SLOTS_SHOWN} more slots"), "", "", "")
    return table


def foreign_text(text: object, style: str = "") -> Text:
    """What somebody else wrote, without markup and without orders to the terminal."""
    return Text(shown(text), style=style)


def queue_table(queues: Iterable[QueueFigures]) -> Table:
    """For a terminal."""
    table = Table(title="Queues", title_justify="left")
    table.add_column("queue", overflow="fold")
    for column in ("waiting", "held", "consumers"):
        table.add_column(column, justify="right")
    for queue in queues:
        held = "" if queue.held is None else str(queue.held)
        style = "red" if queue.ready and not queue.consumers and queue.name.startswith("cap.") else ""
        signature = topology.queue_signature(queue.name)
        name = f"{queue.name}  ({signature})" if signature and not queue.name.endswith(f".{signature}") else queue.name
        table.add_row(foreign_text(name, style=style), str(queue.ready), held, str(queue.consumers))
    return table
