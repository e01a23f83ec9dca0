"""The fleet as its status messages show it: which agents live, what they can, which of them are busy. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.messages import Catalogue, FleetMessage, Status, Work
from contracts.readable import shown
from contracts.requirements.nearest_misses import nearest_misses
from contracts.requirements.sets import Requirements
from contracts.timing import STATUS_INTERVAL
from contracts.topology import address_user

#: A reader forgets an agent, or a master, that it has not heard for this long (seconds).
FORGET_AFTER = 3 * STATUS_INTERVAL
#: Agents of one account that are shown, and capabilities and queues of all of them together.
ACCOUNT_AGENTS = 1_000
ACCOUNT_FACTS = 200_000
#: Nearest misses that a waiting build's text names.
MISSES_SHOWN = 3
#: Agents that offer what is needed and take no work, and characters of the reasons of each, that such a text tells.
UNFIT_SHOWN = 3
REASON_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a requirement can hope for.

    `qualified` offer what is required and take work; `unfit` offer it and take none: "builder7 is unwell (disk full)".
    `misses`, where nobody offers it: "builder7 has gtk 2.24, needs gtk>=3", "3 agents lack wx".
    """

    agents: int
    qualified: int
    busy: int
    misses: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()

    @property
    def unfit_text(self) -> str:
        """Those of them that fit into a line."""
        more = len(self.unfit) - UNFIT_SHOWN
        return "; ".join(self.unfit[:UNFIT_SHOWN]) + (f"; and {more} more" if more > 0 else "")


class FleetView:
    """Fed with every status and catalogue heard; times are the reader's monotonic seconds."""

    def __init__(self) -> None:
        #: broker user and instance -> when it was heard, and what it said: nobody takes another account's place
        self._agents: dict[tuple[str, str], tuple[float, Status]] = {}
        self._masters: dict[str, tuple[float, Catalogue]] = {}

    def hear(self, message: FleetMessage, now: float) -> bool:
        """True when `message` comes from an agent that was not known."""
        if isinstance(message, Work):
            return False
        if isinstance(message, Catalogue):
            self._masters[message.master] = (now, message)
            return False
        agent = (address_user(message.address), message.instance)
        new = agent not in self._agents
        if message.state == "leaving" or not self._has_room(agent, message):
            self._agents.pop(agent, None)
            return False
        self._agents[agent] = (now, message)
        return new

    def _has_room(self, agent: tuple[str, str], status: Status) -> bool:
        """What one account tells is bounded (rule 23); what is too much is not shown."""
        theirs = [known for key, (_, known) in self._agents.items() if key[0] == agent[0] and key != agent]
        facts = sum(len(known.capabilities) + len(known.queues) for known in (*theirs, status))
        return len(theirs) < ACCOUNT_AGENTS and facts <= ACCOUNT_FACTS

    def agents(self, now: float) -> Iterator[Status]:
        """Those heard lately, by name."""
        self._agents = {key: item for key, item in self._agents.items() if now - item[0] <= FORGET_AFTER}
        return iter(sorted((status for _, status in self._agents.values()), key=lambda status: status.agent))

    def other_masters_want(self, signature: str, master: str, now: float) -> bool:
        """Has another master a column for it, as its last catalogue says?"""
        return any(
            signature in catalogue.signatures
            for heard, catalogue in self._masters.values()
            if catalogue.master != master and now - heard <= FORGET_AFTER
        )

    def outlook(self, requirements: Requirements, now: float) -> Outlook:
        """How many agents qualify, and what they are at: with what prospects somebody waits."""
        agents = list(self.agents(now))
        qualified = [status for status in agents if requirements.satisfied_by(status.capabilities)]
        able = [status for status in qualified if status.state in ("ready", "starting")]
        busy = sum(1 for status in able if all(slot.state != "idle" for slot in status.slots))
        misses: tuple[str, ...] = ()
        if not qualified:
            nearest = nearest_misses(requirements, ((status.agent, status.capabilities) for status in agents))
            misses = tuple(shown(miss) for miss in nearest[:MISSES_SHOWN])
        unfit = tuple(_unfit(status) for status in qualified if status not in able)
        return Outlook(agents=len(agents), qualified=len(able), busy=busy, misses=misses, unfit=unfit)


def _unfit(status: Status) -> str:
    """For a page."""
    reasons = shown("; ".join(status.reasons), REASON_SHOWN)
    return f"{shown(status.agent)} is {status.state}" + (f" ({reasons})" if reasons else "")
