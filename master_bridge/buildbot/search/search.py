"""A build's or a step's search for an agent, as a state machine: what it asks the bridge for, and until when. Pure.

docs/architecture.md draws its table. `Seeker` (seeker.py) carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Union

from contracts.machines.lines import Line, ignored, row, table_of
from contracts.machines.transitions import Table
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search.preference import Wanted


class SearchState(Enum):
    """Where a search stands."""

    #: the bridge is asked for nothing (yet, or again)
    NEW = "new"
    #: for an agent that is preferred, for a while
    PREFERS = "prefers"
    #: for any agent that has what is required
    SEEKS = "seeks"
    #: an agent has accepted
    FOUND = "found"
    #: the bridge asks no agent any more, and Buildbot was not told yet
    REFUSED = "refused"
    OVER = "over"


# ---- what happens to it


@dataclass(frozen=True)
class Begin:
    """Ask the bridge."""


@dataclass(frozen=True)
class PatienceOver:
    """Nobody came whom it prefers."""


@dataclass(frozen=True)
class Rerouted:
    """The configuration asks for something else."""

    requirements: Requirements
    seal: bool


@dataclass(frozen=True)
class Found:
    """An agent has accepted."""


@dataclass(frozen=True)
class AgentLost:
    """The session is over, and the search begins anew. `waited`: it has waited long enough for what is preferred."""

    waited: bool = False


@dataclass(frozen=True)
class GivenBack:
    """What its agent did is not what was asked for: another one is to do it."""


@dataclass(frozen=True)
class Refused:
    """As `State.REFUSED` says."""


@dataclass(frozen=True)
class Left:
    """Buildbot wants no agent (any more). `keep`: for now."""

    keep: bool


@dataclass(frozen=True)
class Ended:
    """By the bridge, and Buildbot is told: nobody needs to be told that it is over."""


Cue = Union[Begin, PatienceOver, Rerouted, Found, AgentLost, GivenBack, Refused, Left, Ended]

# ---- what is to be done


@dataclass(frozen=True)
class Ask:
    """`Seek` with the requirements that count now."""


@dataclass(frozen=True)
class AskElsewhere:
    """`Reroute` to the requirements that count now."""


@dataclass(frozen=True)
class Wait:
    """`PatienceOver` after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class WaitNoMore:
    """No `PatienceOver`."""


@dataclass(frozen=True)
class Leave:
    """Tell the bridge how its request ends. "given back": as "done", and another search for it follows."""

    how: Literal["withdraw", "done", "keep", "given back"]


Action = Union[Ask, AskElsewhere, Wait, WaitNoMore, Leave]


class Search:
    """`required` is what an agent must have; one that is preferred has that, too."""

    def __init__(self, wanted: Wanted) -> None:
        self.required = wanted.requirements
        self.seal = wanted.seal
        #: None: nothing is preferred, or no longer
        self.preference = wanted.preference
        self.state = SearchState.NEW
        self._actions: list[Action] = []
        #: for tests: does what happens stand in the table?
        self.watch: Callable[[SearchState, type, SearchState], None] = lambda before, cue, after: None

    @property
    def requirements(self) -> Requirements:
        """Those that it asks for now."""
        return self.required if self.preference is None else self.preference.requirements

    def handle(self, cue: Cue) -> list[Action]:
        """What to do now, in this order."""
        before, self._actions = self.state, []
        found = TABLE.row(before, type(cue))
        if found is not None:
            found.handler(self, cue)
        self.watch(before, type(cue), self.state)
        return self._actions

    # ---- the table's handlers

    def begin(self, _: Begin) -> None:
        """Ask for what is preferred, if anything is, else for what is required."""
        self._actions.append(Ask())
        if self.preference is None:
            self.state = SearchState.SEEKS
        else:
            self.state = SearchState.PREFERS
            self._actions.append(Wait(self.preference.seconds))

    def settle(self, _: PatienceOver) -> None:
        """The one that is preferred has not come in time: any that has what is required will do."""
        self.preference, self.state = None, SearchState.SEEKS
        self._actions.append(AskElsewhere())

    def reroute(self, cue: Rerouted) -> None:
        """Who must ask elsewhere prefers nothing any more."""
        if (cue.requirements.signature, cue.seal) == (self.required.signature, self.seal):
            return
        self.required, self.seal, self.preference = cue.requirements, cue.seal, None
        if self.state is SearchState.PREFERS:
            self._actions.append(WaitNoMore())
            self.state = SearchState.SEEKS
        if self.state is SearchState.SEEKS:
            self._actions.append(AskElsewhere())

    def found(self, _: Found) -> None:
        """Nothing is waited for any more."""
        if self.state is SearchState.PREFERS:
            self._actions.append(WaitNoMore())
        self.state = SearchState.FOUND

    def lost(self, cue: AgentLost) -> None:
        """The session is over; it begins anew, and waits for what it prefers unless it has done so."""
        if cue.waited:
            self.preference = None
        self.state = SearchState.NEW

    def give_back(self, _: GivenBack) -> None:
        """The agent could not run it; any other will do."""
        self._actions.append(Leave("given back"))
        self.preference, self.state = None, SearchState.NEW

    def refused(self, _: Refused) -> None:
        """No agent will come; it stays until Buildbot is told."""
        if self.state is SearchState.PREFERS:
            self._actions.append(WaitNoMore())
        self.state = SearchState.REFUSED

    def leave(self, cue: Left) -> None:
        """Buildbot wants no agent any more; the bridge is told how the request ends."""
        how: Literal["withdraw", "done"] = "done" if self.state is SearchState.FOUND else "withdraw"
        if self.state is SearchState.PREFERS:
            self._actions.append(WaitNoMore())
        self._actions.append(Leave("keep" if cue.keep else how))
        self.state = SearchState.OVER

    def end(self, _: Ended) -> None:
        """It is over, and the bridge knows."""
        if self.state is SearchState.PREFERS:
            self._actions.append(WaitNoMore())
        self.state = SearchState.OVER


Handler = Callable[[Search, Any], None]

NEW, PREFERS, SEEKS, FOUND, REFUSED, OVER = SearchState
_OVER = ignored("It is over", OVER)
_BEGUN = ignored("The bridge is asked already", PREFERS, SEEKS, FOUND)
_NONE_FOUND = ignored("There is no agent that could be lost", NEW, PREFERS, SEEKS, REFUSED)


def _on(cue: type, *parts: Any) -> Line[SearchState, Handler]:
    return Line(cue, parts)


_LINES: tuple[Line[SearchState, Handler], ...] = (
    _on(
        Begin,
        row(Search.begin, NEW, to={PREFERS: "seek whom it prefers", SEEKS: "seek"}),
        _BEGUN, _OVER, ignored("No agent will come", REFUSED),
    ),
    _on(
        PatienceOver,
        row(Search.settle, PREFERS, to={SEEKS: "reroute to what is required"}),
        ignored("It does not fall due then", NEW, SEEKS, FOUND, REFUSED), _OVER,
    ),
    _on(
        Rerouted,
        row(Search.reroute, NEW, REFUSED, stays=""),
        row(Search.reroute, PREFERS, stays="", to={SEEKS: "reroute"}),
        row(Search.reroute, SEEKS, stays="reroute"),
        row(Search.reroute, FOUND, stays=""),
        _OVER,
    ),
    _on(
        Found,
        row(Search.found, PREFERS, SEEKS, to={FOUND: ""}),
        ignored("Nobody was asked for", NEW, REFUSED), ignored("One is there already", FOUND), _OVER,
    ),
    _on(AgentLost, row(Search.lost, FOUND, to={NEW: "seek anew"}), _NONE_FOUND, _OVER),
    _on(GivenBack, row(Search.give_back, FOUND, to={NEW: "done, seek anew"}), _NONE_FOUND, _OVER),
    _on(
        Refused,
        row(Search.refused, NEW, PREFERS, SEEKS, FOUND, to={REFUSED: ""}),
        ignored("It is known", REFUSED), _OVER,
    ),
    _on(
        Left,
        row(Search.leave, NEW, PREFERS, SEEKS, REFUSED, to={OVER: "withdraw, or keep"}),
        row(Search.leave, FOUND, to={OVER: "done, or keep"}),
        _OVER,
    ),
    _on(Ended, row(Search.end, NEW, PREFERS, SEEKS, FOUND, REFUSED, to={OVER: ""}), _OVER),
)  # fmt: skip

TABLE: Table[SearchState, type, Handler] = table_of(_LINES, start=NEW, states=SearchState)
