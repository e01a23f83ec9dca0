"""The states of a request, from Buildbot's question to its answer (docs/protocol.md draws their table)."""

from __future__ import annotations

from enum import Enum
from typing import Literal

ViewState = Literal["none", "window", "waiting", "granted", "held", "missing"]


class State(Enum):
    """Where a request stands, from the bridge's point of view."""

    #: unknown here: not asked for yet, or over
    NONE = "none"
    #: asked for while the roll is called: an agent may have its session already
    WINDOW = "window"
    #: its offer lies in a queue
    WAITING = "waiting"
    #: an agent has a grant, and has not accepted
    GRANTED = "granted"
    #: as GRANTED, and what was sent to the agent came back
    GRANTED_MISSING = "granted, missing"
    #: the agent has accepted: Buildbot has it
    HELD = "held"
    #: as HELD, and what was sent to the agent came back
    HELD_MISSING = "held, missing"

    @property
    def view(self) -> ViewState:
        """For people, logs and metrics, to whom an agent that is missing is missing."""
        return _VIEWS[self]


_VIEWS: dict[State, ViewState] = {
    State.NONE: "none", State.WINDOW: "window", State.WAITING: "waiting", State.GRANTED: "granted",
    State.GRANTED_MISSING: "missing", State.HELD: "held", State.HELD_MISSING: "missing",
}  # fmt: skip
#: Buildbot has the session.
ATTACHED = (State.HELD, State.HELD_MISSING)
#: The agent of the session does not answer.
MISSING = (State.GRANTED_MISSING, State.HELD_MISSING)
#: There is a session.
WITH_SESSION = (State.GRANTED, State.GRANTED_MISSING, State.HELD, State.HELD_MISSING)
#: What a state becomes when the agent's queue is gone, and when the agent is back.
GOES_MISSING = {State.GRANTED: State.GRANTED_MISSING, State.HELD: State.HELD_MISSING}
COMES_BACK = {missing: present for present, missing in GOES_MISSING.items()}


class OnRoll(Enum):
    """Where a session stands that its agent holds and nobody has asked for."""

    #: it is not on the roll: unknown here, or a request has it
    ABSENT = "absent"
    #: whether its request is complete is not known yet
    UNSURE = "unsure"
    #: its request is not complete: Buildbot may ask for it
    ON_HOLD = "on hold"
