"""The fleet as its status messages show it: which agents live, what they can, which of them are busy. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cachetools import FIFOCache

from contracts.messages import Catalogue, FleetMessage, Status, Work
from contracts.readable import shown
from contracts.requirements.nearest_misses import nearest_misses
from contracts.requirements.sets import Requirements
from contracts.timing import CATALOGUE_INTERVAL
from contracts.topology import address_user
from master_bridge.buildbot.fleet.statuses import CountedAgents
from master_bridge.fleet.abilities import Abilities

#: A reader forgets a master that it has not heard for this long (seconds); an agent, as its own status says.
FORGET_AFTER = 3 * CATALOGUE_INTERVAL
#: Masters whose catalogues are kept; of more, those that were heard longest ago are forgotten first.
MASTERS_MAX = 1_000
#: Agents of one account that are shown, and capabilities and queues of all of them together.
ACCOUNT_AGENTS = 1_000
ACCOUNT_FACTS = 200_000
#: Seconds for which an outlook is good enough for the next build that waits for the same; and those between two looks
#: for silent agents of an account that has no room for another.
OUTLOOK_FRESH = 1.0
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


@dataclass(frozen=True)
class _Heard:
    """One agent: when it told (the reader's monotonic seconds) what; how much that is."""

    at: float
    status: Status
    facts: int
    abilities: Abilities


class FleetView:
    """Fed with every status and catalogue heard; times are the reader's monotonic seconds."""

    def __init__(self) -> None:
        #: by broker user and instance: nobody takes another account's place
        self._agents: dict[tuple[str, str], _Heard] = {}
        #: broker user -> agents, and facts of all of them
        self._accounts: dict[str, tuple[int, int]] = {}
        #: signature -> when its outlook was made, and the outlook
        self._outlooks: dict[str, tuple[float, Outlook]] = {}
        self._masters: FIFOCache[str, tuple[float, Catalogue]] = FIFOCache(MASTERS_MAX)
        #: when silent agents were looked for last
        self._looked = float("-inf")
        self._counted = CountedAgents()

    def hear(self, message: FleetMessage, now: float) -> bool:
        """True when `message` comes from an agent that was not known."""
        if isinstance(message, Work):
            return False
        if isinstance(message, Catalogue):
            self._hear_master(message, now)
            return False
        agent = (address_user(message.address), message.instance)
        self._counted.hear(agent, message, now)
        before = self._forget(agent)
        if message.state == "leaving":
            return False
        facts = len(message.capabilities) + len(message.queues)
        if not self._has_room(agent[0], facts) and now - self._looked >= OUTLOOK_FRESH:
            self._forget_silent(now)
        if not self._has_room(agent[0], facts):
            return False  # what one account tells is bounded (rule 23); what is too much is not shown
        agents, all_facts = self._accounts.get(agent[0], (0, 0))
        self._accounts[agent[0]] = (agents + 1, all_facts + facts)
        heard = self._agents[agent] = _Heard(now, message, facts, before.abilities if before else Abilities())
        heard.abilities.learn(message.capabilities)
        return before is None

    def _hear_master(self, catalogue: Catalogue, now: float) -> None:
        """A master that has a new name at each start is forgotten under the old ones."""
        self._masters[catalogue.master] = (now, catalogue)
        for name in [name for name, (heard, _) in self._masters.items() if now - heard > FORGET_AFTER]:
            del self._masters[name]

    def _has_room(self, account: str, facts: int) -> bool:
        agents, all_facts = self._accounts.get(account, (0, 0))
        return agents < ACCOUNT_AGENTS and all_facts + facts <= ACCOUNT_FACTS

    def _forget(self, agent: tuple[str, str]) -> _Heard | None:
        heard = self._agents.pop(agent, None)
        if heard is not None:
            agents, facts = self._accounts.pop(agent[0])
            if agents > 1:
                self._accounts[agent[0]] = (agents - 1, facts - heard.facts)
        return heard

    def agents(self, now: float) -> Iterator[Status]:
        """Those heard lately, by name."""
        return (heard.status for heard in self._alive(now))

    def status_every(self, now: float) -> int:
        """How often agents are to tell their statuses, in seconds (rule 27)."""
        return self._counted.every(now)

    def _forget_silent(self, now: float) -> None:
        self._looked = now
        for agent in [agent for agent, heard in self._agents.items() if now - heard.at > heard.status.silent_after]:
            self._forget(agent)

    def _alive(self, now: float) -> list[_Heard]:
        self._forget_silent(now)
        return sorted(self._agents.values(), key=lambda heard: heard.status.agent)

    def other_masters_want(self, signature: str, master: str, now: float) -> bool:
        """Has another master a column for it, as its last catalogue says?"""
        return any(
            signature in catalogue.signatures
            for heard, catalogue in self._masters.values()
            if catalogue.master != master and now - heard <= FORGET_AFTER
        )

    def outlook(self, requirements: Requirements, now: float) -> Outlook:
        """How many agents qualify, and what they are at: with what prospects somebody waits.

        As it was at most `OUTLOOK_FRESH` ago: each waiting build asks for it every few seconds.
        """
        at, outlook = self._outlooks.get(requirements.signature, (now, None))
        if outlook is None or not 0 < now - at < OUTLOOK_FRESH:
            self._outlooks = {name: each for name, each in self._outlooks.items() if now - each[0] < OUTLOOK_FRESH}
            outlook = self._outlook(requirements, self._alive(now))
            self._outlooks[requirements.signature] = (now, outlook)
        return outlook

    def _outlook(self, requirements: Requirements, alive: list[_Heard]) -> Outlook:
        agents = [heard.status for heard in alive]
        qualified = [heard.status for heard in alive if heard.abilities.meet(requirements)]
        able = [status for status in qualified if _takes_work(status)]
        busy = sum(1 for status in able if all(slot.state != "idle" for slot in status.for_builds))
        misses: tuple[str, ...] = ()
        if not qualified:
            nearest = nearest_misses(
                requirements, ((heard.status.agent, heard.abilities.named(requirements)) for heard in alive)
            )
            misses = tuple(shown(miss) for miss in nearest[:MISSES_SHOWN])
        unfit = tuple(_unfit(status) for status in qualified if not _takes_work(status))
        return Outlook(agents=len(agents), qualified=len(able), busy=busy, misses=misses, unfit=unfit)


def _takes_work(status: Status) -> bool:
    return status.state in ("ready", "starting")


def _unfit(status: Status) -> str:
    """For a page."""
    reasons = shown("; ".join(status.reasons), REASON_SHOWN)
    return f"{shown(status.agent)} is {status.state}" + (f" ({reasons})" if reasons else "")
