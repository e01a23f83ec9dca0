"""Orders that people gave agents from the page: who ordered what, when and why, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from contracts.messages import Status
from contracts.readable import finite, shown
from contracts.topology import address_user
from master_bridge.fleet.agents import TEXT_SHOWN

#: What an agent is asked for (`contracts.messages.Steer`).
Order = Literal["drain", "resume", "leave", "stop", "restart", "probe"]
ORDERS: tuple[str, ...] = get_args(Order)
#: Orders that are kept, and agents that one click may reach.
KEPT, AT_ONCE = 1_000, 1_000
#: Seconds after which an order that had no visible effect is not waited for any more.
WAIT = 3_600.0


@dataclass(frozen=True, kw_only=True)
class OrderRecord:
    """One order to one agent. `outcome`: "told" to it; "done", as its status shows; "gone" before it heard."""

    when: float
    who: str
    order: str
    agent: str
    name: str
    reason: str
    outcome: str = "told"
    #: the agent's epoch at the order: a restart shows in a later one
    epoch: int = 0


class Orders:
    """The newest `KEPT`. `changed` is true when they are to be stored."""

    def __init__(self) -> None:
        self._entries: list[OrderRecord] = []
        self.changed = False

    def __iter__(self) -> Iterator[OrderRecord]:
        """The newest first."""
        return reversed(self._entries)

    def add(self, entry: OrderRecord) -> None:
        """An operator has given it; the oldest goes when there are too many."""
        self._entries.append(entry)
        del self._entries[:-KEPT]
        self.changed = True

    def returned(self, address: str, instance: str, now: float) -> None:
        """The broker had nobody at that agent's address."""
        self._settle(f"{address_user(address)}/{instance}", now, lambda _entry: "gone")

    def heard(self, status: Status, now: float) -> None:
        """A status shows which orders its agent has carried out."""
        agent = f"{address_user(status.address)}/{status.instance}"
        self._settle(agent, now, lambda entry: "done" if _has_happened(entry, status) else None)

    def _settle(self, agent: str, now: float, outcome: Callable[[OrderRecord], str | None]) -> None:
        for index in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[index]
            if now - entry.when > WAIT:
                return
            if entry.outcome == "told" and entry.agent == agent and (found := outcome(entry)):
                self._entries[index] = replace(entry, outcome=found)
                self.changed = True

    # -- kept in Buildbot's database ------------------------------------------------------------------------------

    def stored(self) -> list[dict[str, Any]]:
        """All of them, for Buildbot's database."""
        self.changed = False
        return [asdict(entry) for entry in self._entries]

    def remember(self, stored: object) -> None:
        """What `stored` gave, before the master's restart; what cannot be read is left out."""
        earlier = [entry for each in stored if (entry := _entry(each))] if isinstance(stored, list) else []
        self._entries = [*earlier, *self._entries][-KEPT:]


def _has_happened(entry: OrderRecord, status: Status) -> bool:
    if entry.order == "drain":
        return status.state in ("draining", "paused")
    if entry.order == "resume":
        return status.state not in ("paused", "draining")
    if entry.order in ("leave", "stop"):
        return status.state == "leaving"
    if entry.order == "restart":
        return status.epoch > entry.epoch
    return bool(status.found)  # told anew after a probe


def _entry(stored: object) -> OrderRecord | None:
    if not isinstance(stored, dict):
        return None
    try:
        return OrderRecord(
            when=finite(float(stored["when"])),
            epoch=int(stored["epoch"]),
            **{key: shown(stored[key], TEXT_SHOWN) for key in ("who", "order", "agent", "name", "reason", "outcome")},
        )
    except (KeyError, TypeError, ValueError):
        return None
