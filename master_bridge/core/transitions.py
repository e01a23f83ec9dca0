"""The bridge's table: what each cue does to a request in each state. Requests are run from it (`happen`), and
docs/protocol.md shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.machines.lines import Line, ignored, row, table_of
from contracts.machines.transitions import Table
from master_bridge.core import claims, cues
from master_bridge.core.inputs import (
    AgentDied,
    AgentHeard,
    Done,
    EventStored,
    InterruptCommand,
    Keep,
    LinkDown,
    LinkUp,
    Reroute,
    Seek,
    StartCommand,
    Withdraw,
)
from master_bridge.core.parts import Parts
from master_bridge.core.records import WorkUnit
from master_bridge.core.states import ATTACHED, MISSING, WITH_SESSION, State

#: of parts, request and cue; there is no `WorkUnit` in state NONE
Handler = Callable[[Parts, Any, Any], None]

NONE, WINDOW, WAITING, GRANTED, GRANTED_MISSING, HELD, HELD_MISSING = State
PRESENT = (GRANTED, HELD)
UNGRANTED = (WINDOW, WAITING)


def _on(cue: type, *parts: Any) -> Line[State, Handler]:
    return Line(cue, parts)


def _does(handler: Handler, *states: State, stays: str | None = None, **to: str) -> Any:
    """`row` with the states that follow as names."""
    return row(handler, *states, stays=stays, to={State[state]: does for state, does in to.items()})


_UNKNOWN = ignored("No such request is here: it is over, or was never asked for", NONE)
_NO_SESSION = ignored("It has no session", NONE, *UNGRANTED)
_NOT_ATTACHED = ignored("Buildbot does not have the session yet", WINDOW, WAITING, GRANTED, GRANTED_MISSING)


def _not_due(*states: State) -> Any:
    return ignored("It does not fall due then", *states)


def _held_by_another(*states: State) -> Any:
    def refuse(parts: Parts, work: WorkUnit, cue: cues.NewClaim) -> None:
        claims.refuse_claim(parts, cue, "another session holds its build request")

    return _does(refuse, *states, stays="")


_TOO_MANY_LIVES = "too many lives, send the offer to dead, abandon"
_LOST_UNACCEPTED = {"WAITING": "offer (ask)", "NONE": _TOO_MANY_LIVES}
_LOST = {"NONE": "tell Buildbot that it is lost"}
_NO_KEY = {"WAITING": "no key to seal for, refuse, offer (ask)", "NONE": "no key to seal for, refuse, abandon"}

_LINES: tuple[Line[State, Handler], ...] = (
    # ---- Buildbot
    _on(
        Seek,
        _does(
            lambda p, _, seek: p.placing.seek(seek), NONE,
            WINDOW="", WAITING="roll call over, offer", GRANTED="roll call over, a session is noted, grant",
        ),
        _does(lambda p, _, seek: p.placing.seek(seek), WINDOW, stays=""),
        _does(lambda p, _, seek: p.placing.seek(seek), WAITING, stays="offer (ask)", WINDOW=""),
        _does(
            lambda p, _, seek: p.placing.seek(seek), GRANTED,
            stays="adopt its session", WINDOW="note its session", WAITING="no key to seal for, refuse, offer (ask)",
        ),
        _does(
            lambda p, _, seek: p.placing.seek(seek), GRANTED_MISSING, *ATTACHED,
            GRANTED="adopt its session", WINDOW="note its session", WAITING="no key to seal for, refuse, offer (ask)",
        ),
    ),
    *(
        _on(
            order,
            _UNKNOWN,
            _does(lambda p, work, _: p.placing.done(work), *UNGRANTED, NONE=""),
            _does(lambda p, work, _: p.placing.done(work), *WITH_SESSION, NONE="release"),
        )
        for order in (Withdraw, Done)
    ),
    _on(
        Keep,
        _UNKNOWN,
        _does(lambda p, work, _: p.placing.keep(work), *UNGRANTED, NONE=""),
        _does(lambda p, work, _: p.placing.keep(work), *WITH_SESSION, NONE="note its session"),
    ),
    _on(
        Reroute,
        _UNKNOWN,
        _does(lambda p, work, order: p.placing.reroute(work, order), WINDOW, *WITH_SESSION, stays=""),
        _does(lambda p, work, order: p.placing.reroute(work, order), WAITING, stays="offer (ask)"),
    ),
    _on(
        StartCommand,
        _UNKNOWN, _NOT_ATTACHED,
        _does(lambda p, work, order: p.holding.start(work, order), HELD, stays="start"),
        _does(lambda p, work, order: p.holding.start(work, order), HELD_MISSING, stays="start when it is back"),
    ),
    _on(
        InterruptCommand,
        _UNKNOWN, _NOT_ATTACHED,
        _does(lambda p, work, order: p.holding.interrupt(work, order), HELD, stays="interrupt"),
        _does(lambda p, work, order: p.holding.interrupt(work, order), HELD_MISSING, stays="interrupt when it is back"),
    ),
    # ---- the roll call
    _on(
        cues.RollCallOver,
        _does(
            lambda p, work, _: p.placing.decide(work), WINDOW,
            GRANTED="a session is noted, grant the best", WAITING="none is noted, offer",
        ),
        _does(
            lambda p, work, _: p.placing.take_first(work), WAITING,
            stays="", GRANTED="a command's claim waits, grant",
        ),
        _UNKNOWN, ignored("It has a session", *WITH_SESSION),
    ),
    # ---- of a session that it does not have
    _on(
        cues.NewClaim,
        _does(
            lambda p, _, cue: claims.refuse_claim(p, cue, "no agent is wanted for its build request"), NONE, stays=""
        ),
        _does(
            lambda p, _, cue: claims.refuse_claim(p, cue, "the roll is being called; a new offer may follow"),
            WINDOW, stays="",
        ),
        _does(claims.claim, WAITING, stays="refuse a stale offer's, or one without a key", GRANTED="grant"),
        _held_by_another(*PRESENT),
        _does(
            lambda p, _, cue: p.placing.later(cue.verified.message, cue.verified.delivery), *MISSING,
            stays="answer later",
        ),
    ),
    _on(
        cues.NewResume,
        _does(claims.note, NONE, stays="note the session"),
        _does(claims.note, WINDOW, stays="note the session, hold"),
        _does(claims.resume, WAITING, stays="refuse one without a key", GRANTED="grant"),
        _does(lambda p, _, cue: claims.refuse_resume(p, cue), *WITH_SESSION, stays=""),
    ),
    _on(
        cues.EarlierAccept,
        _does(claims.note, NONE, stays="note the session"),
        _does(claims.note, WINDOW, stays="note the session, hold"),
        _does(lambda p, _, cue: claims.call_roll(p, cue), WAITING, stays="call the roll of its agent"),
        _does(lambda p, _, cue: claims.refuse_resume(p, cue), *WITH_SESSION, stays=""),
    ),
    # ---- of its own session
    _on(
        cues.HolderClaim,
        _NO_SESSION,
        _does(claims.holder_claim, GRANTED, stays="grant again", **_NO_KEY),
        _does(claims.holder_claim, GRANTED_MISSING, stays="", GRANTED="newer epoch, grant again", **_NO_KEY),
        _does(claims.holder_claim, HELD, stays="", NONE="no key to seal for, refuse, lost"),
        _does(
            claims.holder_claim, HELD_MISSING,
            stays="", HELD="newer epoch, grant again", NONE="no key to seal for, refuse, lost",
        ),
    ),
    _on(
        cues.HolderResume,
        _NO_SESSION,
        _does(claims.holder_resume, GRANTED, stays="grant again", **_NO_KEY),
        _does(claims.holder_resume, GRANTED_MISSING, stays="", GRANTED="newer epoch, grant again", **_NO_KEY),
        _does(claims.holder_resume, HELD, stays="grant again", NONE="no key to seal for, refuse, lost"),
        _does(
            claims.holder_resume, HELD_MISSING,
            stays="", HELD="newer epoch, grant again", NONE="no key to seal for, refuse, lost",
        ),
    ),
    _on(
        cues.HolderAccept,
        _NO_SESSION,
        _does(
            claims.holder_accept, GRANTED,
            stays="an earlier bridge's, or its agent is not known, grant again or wait", HELD="attach", **_NO_KEY,
        ),
        _does(
            claims.holder_accept, GRANTED_MISSING,
            stays="", GRANTED="newer epoch, an earlier bridge's, grant again", HELD="newer epoch, attach", **_NO_KEY,
        ),
        _does(
            claims.holder_accept, HELD,
            stays="repeat open starts and interrupts", NONE="no key to seal for, refuse, lost",
        ),
        _does(
            claims.holder_accept, HELD_MISSING,
            stays="", HELD="newer epoch, repeat open starts and interrupts", NONE="no key to seal for, refuse, lost",
        ),
    ),
    _on(
        cues.OlderAddressSpoke,
        _NO_SESSION,
        _does(
            lambda p, work, cue: p.presence.older_spoke(work, cue.verified), *PRESENT,
            stays="marker, then ask it. It accepts, so refuse the newer, grant",
        ),
        _does(
            lambda p, work, cue: p.presence.older_spoke(work, cue.verified), GRANTED_MISSING,
            stays="", GRANTED="it accepts, refuse the newer, grant",
        ),
        _does(
            lambda p, work, cue: p.presence.older_spoke(work, cue.verified), HELD_MISSING,
            stays="", HELD="it accepts, refuse the newer, grant",
        ),
    ),
    _on(
        cues.HolderGone,
        _NO_SESSION,
        _does(
            lambda p, work, cue: p.presence.gone(work, cue.gone), GRANTED,
            stays="from elsewhere, grant again", **_LOST_UNACCEPTED,
        ),
        _does(lambda p, work, cue: p.presence.gone(work, cue.gone), GRANTED_MISSING, **_LOST_UNACCEPTED),
        _does(lambda p, work, cue: p.presence.gone(work, cue.gone), HELD, stays="from elsewhere, grant again", **_LOST),
        _does(lambda p, work, cue: p.presence.gone(work, cue.gone), HELD_MISSING, **_LOST),
    ),
    _on(
        cues.EventCame,
        _NO_SESSION,
        _does(
            lambda p, work, cue: p.holding.event(work, cue.event, cue.delivery), GRANTED, GRANTED_MISSING, stays=""
        ),
        _does(
            lambda p, work, cue: p.holding.event(work, cue.event, cue.delivery), *ATTACHED,
            stays="the next to Buildbot, else stored or replay",
        ),
    ),
    _on(
        cues.PullCame,
        _NO_SESSION,
        ignored("Buildbot has started no command in it yet", GRANTED, GRANTED_MISSING),
        _does(lambda p, work, cue: p.holding.pull(work, cue.pull), *ATTACHED, stays="data"),
    ),
    _on(
        EventStored,
        _NO_SESSION,
        _does(lambda p, work, cue: p.holding.stored(work.granted, cue), *WITH_SESSION, stays=""),
    ),
    # ---- is its agent there
    _on(
        cues.MessageReturned,
        _NO_SESSION,
        _does(
            lambda p, work, cue: p.presence.returned(work, cue.address), GRANTED,
            stays="", GRANTED_MISSING="a command offer's, or it resumed",
            WAITING="nothing was executed, offer (ask)", NONE=_TOO_MANY_LIVES,
        ),
        _does(
            lambda p, work, cue: p.presence.returned(work, cue.address), HELD,
            stays="", HELD_MISSING="", NONE="gone was said from elsewhere, lost",
        ),
        _does(lambda p, work, cue: p.presence.returned(work, cue.address), *MISSING, stays=""),
    ),
    _on(
        AgentDied,
        _NO_SESSION,
        _does(
            lambda p, work, _: p.presence.died(work), GRANTED,
            GRANTED_MISSING="a command offer's, or it resumed",
            WAITING="nothing was executed, offer (ask)", NONE=_TOO_MANY_LIVES,
        ),
        _does(
            lambda p, work, _: p.presence.died(work), HELD,
            HELD_MISSING="a build is not waited for, marker", NONE="gone was said from elsewhere, lost",
        ),
        _does(lambda p, work, _: p.presence.died(work), *MISSING, stays="a build is not waited for, marker"),
    ),
    _on(
        AgentHeard,
        _NO_SESSION,
        _does(lambda p, work, cue: p.presence.heard(work.granted, cue.every), *WITH_SESSION, stays=""),
    ),
    _on(
        cues.MarkerBack,
        _NO_SESSION,
        _does(
            lambda p, work, cue: p.presence.marker_back(work, cue.k), *PRESENT,
            stays="an older address spoke, grant to it",
        ),
        _does(
            lambda p, work, cue: p.presence.marker_back(work, cue.k), GRANTED_MISSING,
            stays="", WAITING="grace is over, refuse, offer (ask)", NONE=_TOO_MANY_LIVES,
        ),
        _does(
            lambda p, work, cue: p.presence.marker_back(work, cue.k), HELD_MISSING,
            stays="", NONE="grace is over, refuse, tell Buildbot that it is lost",
        ),
    ),
    # ---- the link
    _on(
        LinkUp,
        _UNKNOWN, ignored("The roll call decides", WINDOW),
        _does(lambda p, work, _: p.placing.offer(work), WAITING, stays="offer (ask)"),
        _does(
            lambda p, work, _: p.placing.grant(work, work.granted), GRANTED, GRANTED_MISSING, stays="grant again"
        ),
        ignored("Its agent resumes, and is pinged", *ATTACHED),
    ),
    _on(
        LinkDown,
        _UNKNOWN,
        _does(lambda p, work, _: p.placing.link_down(work), *UNGRANTED, *WITH_SESSION, stays=""),
    ),
    _on(
        cues.ClockStopped,
        _NO_SESSION,
        _does(lambda p, work, _: p.presence.pause(work.granted), *WITH_SESSION, stays=""),
    ),
    _on(
        cues.ClockStarted,
        _UNKNOWN, ignored("The roll call has an alarm of its own", WINDOW),
        _does(lambda p, work, _: p.placing.offer_again_later(work), WAITING, stays=""),
        _does(lambda p, work, _: p.presence.resume(work), *WITH_SESSION, stays=""),
    ),
    # ---- alarms
    _on(
        cues.AcceptDue,
        _does(lambda p, work, _: p.placing.grant(work, work.granted), *PRESENT, stays="grant again"),
        _NO_SESSION, ignored("Nothing is granted to an agent that is missing", *MISSING),
    ),
    _on(
        cues.OfferDue,
        _does(lambda p, work, _: p.placing.offer(work), WAITING, stays="offer (ask)"),
        _UNKNOWN, _not_due(WINDOW), ignored("It has a session", *WITH_SESSION),
    ),
    _on(
        cues.PingDue,
        _does(lambda p, work, _: p.presence.ping(work.granted), *PRESENT, stays="ping"),
        _NO_SESSION, ignored("Only a newer epoch shows that it is there again", *MISSING),
    ),
    _on(
        cues.GraceOver,
        _does(lambda p, work, _: p.presence.grace_over(work, work.granted), *MISSING, stays="marker"),
        _NO_SESSION, _not_due(*PRESENT),
    ),
    _on(
        cues.SuspectDue,
        _does(lambda p, work, _: p.presence.suspect_silent(work), GRANTED, **_LOST_UNACCEPTED),
        _does(lambda p, work, _: p.presence.suspect_silent(work), HELD, **_LOST),
        _NO_SESSION, _not_due(*MISSING),
    ),
    _on(
        cues.RivalDue,
        _does(lambda p, work, _: p.presence.rival_silent(work.granted), *WITH_SESSION, stays=""),
        _NO_SESSION,
    ),
    _on(
        cues.StoredDue,
        _does(lambda p, work, _: p.holding.tell(work.granted), *PRESENT, stays="stored"),
        _does(lambda p, work, _: p.holding.tell(work.granted), *MISSING, stays=""),
        _NO_SESSION,
    ),
    _on(
        cues.ReplayDue,
        _does(lambda p, work, _: p.holding.replay(work.granted), HELD, stays="replay"),
        _NO_SESSION, _not_due(GRANTED, GRANTED_MISSING),
        ignored("A missing agent is asked when it has accepted again", HELD_MISSING),
    ),
)  # fmt: skip

TABLE: Table[State, type, Handler] = table_of(_LINES, start=NONE, states=State)


def happen(parts: Parts, request: str, cue: cues.Cue) -> None:
    """`cue` happens to `request`."""
    before = parts.state(request)
    found = TABLE.row(before, type(cue))
    if found is not None:
        found.handler(parts, parts.placing.works.get(request), cue)
    parts.watch(request, before, type(cue), parts.state(request))
