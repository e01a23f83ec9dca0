"""What `master-bridge fleet --json` writes, as models; docs/reference/master-bridge-fleet.schema.json is made of them.

`schema_version` grows when a field goes or means something else; fields may be added to a version. Times are seconds
since the epoch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import SlotStatus, WorkView

VERSION: Literal[1] = 1


class ReportPart(BaseModel):
    """Base of all: frozen, each field described."""

    model_config = ConfigDict(frozen=True)


class SummaryReport(ReportPart):
    """The whole fleet, whatever is filtered. A slot of an agent that takes no work is neither busy nor free."""

    agents: int = Field(description="Agents that were heard.")
    states: dict[str, int] = Field(description="State (`doing` of agents) -> how many agents are in it.")
    busy: int = Field(description="Slots that claim or hold work.")
    free: int = Field(description="Slots that would take work.")
    waiting: int = Field(description="Requests of all masters that have no agent.")


class AgentReport(ReportPart):
    """One agent, as it told last."""

    id: str = Field(description="Account and instance: `account/instance`, as the Fleet page has it.")
    agent: str = Field(description="Its name; with `@account` where another account's agent could be meant.")
    account: str = Field(description="Its account at the broker, as a word of a routing key.")
    instance: str = Field(description="Its instance, which survives restarts.")
    epoch: int = Field(description="Counts its connections.")
    doing: Literal["idle", "busy", "starting", "draining", "unwell", "paused", "leaving", "silent"] = Field(
        description="The state that the Fleet page shows: `busy` has work in a slot, `silent` said nothing "
        "for 15 s, or for three times the interval that it had said, in a fleet of more than 1,000."
    )
    state: Literal["starting", "ready", "draining", "unwell", "paused", "leaving"] = Field(
        description="What it says of itself."
    )
    reasons: tuple[str, ...] = Field(description="Why it takes no work.")
    slots: tuple[SlotStatus, ...] = Field(description="One for each session that it may hold.")
    capabilities: dict[str, str | None] = Field(description="All: name -> version; null: version unknown.")
    found: dict[str, str] = Field(description="Capability -> how it was found, where that was told.")
    queues: tuple[str, ...] = Field(description="The cap.* queues that it consumes when idle.")
    serves: tuple[str, ...] = Field(description="Signatures of columns whose requirements it meets.")
    version: str = Field(description="Of its program.")
    started: float = Field(description="When its process began; 0: not told.")
    protocol: tuple[int, int] = Field(description="Oldest and newest version of the protocol that it speaks.")
    clock_ahead: float = Field(description="Seconds by which its clock is ahead of this machine's.")


class ColumnReport(ReportPart):
    """All that has one signature, of whichever masters."""

    signature: str = Field(description="What is asked of an agent, in normal form: `gtk>=3,python3`; `any`: nothing.")
    masters: tuple[str, ...] = Field(description="Masters that have such a column.")
    waiting: int = Field(description="Requests for it without an agent.")
    oldest: float | None = Field(description="Seconds that the first of them has waited.")
    qualified: int = Field(description="Agents that meet it and take work.")
    unfit: int = Field(description="Agents that meet it and take none: paused, unwell, silent, leaving.")
    busy: int = Field(description="Busy slots of those that are qualified.")
    free: int = Field(description="Free slots of those that are qualified.")
    missing: tuple[str, ...] = Field(description="Where nobody meets it: what the nearest agents lack.")


class MasterReport(ReportPart):
    """One master, as it told last."""

    master: str = Field(description="AMQPBroker's `master`.")
    version: str = Field(description="Of its bridge's program.")
    requests: tuple[WorkView, ...] = Field(description="What seeks an agent or has one.")
    more: int = Field(description="Requests that were too many for its message.")
    protocol: tuple[int, int] = Field(description="Oldest and newest version of the protocol that it speaks.")


class QueueReport(ReportPart):
    """One queue at the broker."""

    name: str
    signature: str | None = Field(description="Of a cap.* queue: what it asks for.")
    ready: int = Field(description="Messages that nobody holds.")
    consumers: int
    held: int | None = Field(description="Delivered and not acknowledged; null: the broker does not say.")
    type: str | None = Field(description="`classic` or `quorum`; null: the broker does not say.")


class IncompatibleReport(ReportPart):
    """Who uses a version of the protocol that we, or a master, do not."""

    sender: str
    reason: str


class FleetReport(ReportPart):
    """What `master-bridge fleet --json` writes; with `--watch` one of these a line."""

    schema_version: Literal[1] = Field(default=VERSION, description="Of this document.")
    now: float = Field(description="When it was made.")
    summary: SummaryReport
    agents: tuple[AgentReport, ...] = Field(description="Those that --filter and --match leave, as --sort has them.")
    columns: tuple[ColumnReport, ...]
    masters: tuple[MasterReport, ...]
    queues: tuple[QueueReport, ...] = Field(description="Empty with --no-queues.")
    incompatible: tuple[IncompatibleReport, ...]
    left_out: tuple[str, ...] = Field(description="Accounts that tell more than is shown of one account.")
