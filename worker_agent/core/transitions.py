"""The agent's table: what each cue does to a session in each phase. Sessions are run from it (`happen`), and
docs/protocol.md shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from contracts.machines.transitions import Row, Table
from contracts.messages import Data, Grant, Hold, Interrupt, Later, Ping, Release, Replay, RollCall, Start, Stored
from worker_agent.core import claims, commands, cues, events, holding
from worker_agent.core.inputs import (
    DeliveryLost,
    Journalled,
    KeeperLost,
    LinkDown,
    LinkUp,
    MachineChecked,
    OfferDelivered,
    PullWanted,
    Stop,
)
from worker_agent.core.session import Phase, Session
from worker_agent.core.state import AgentState

C = TypeVar("C", contravariant=True)
Handler = Callable[[AgentState, Session, C], None]

ABSENT, CHECKING, CLAIMING, CONFIRMING, AWAITING, HELD, ASIDE = Phase
#: Those whose bridge, or broker, owes an answer.
ASKED = (CLAIMING, CONFIRMING, AWAITING)
PRESENT = (CHECKING, *ASKED, HELD, ASIDE)


@dataclass(frozen=True)
class _Rows(Generic[C]):
    handler: Handler[C]
    phases: tuple[Phase, ...]
    stays: str | None
    to: Mapping[Phase, str]


@dataclass(frozen=True)
class _Ignored:
    reason: str
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class _Line(Generic[C]):
    cue: type[C]
    rows: tuple[_Rows[C] | _Ignored, ...] = field(default=())


def _row(
    handler: Handler[C], *phases: Phase, stays: str | None = None, to: Mapping[Phase, str] | None = None
) -> _Rows[C]:
    """`stays`: the phase may stay, and what is done then. `to`: what may follow, and what is done on the way."""
    return _Rows(handler, phases, stays, to or {})


def _ignored(reason: str, *phases: Phase) -> _Ignored:
    return _Ignored(reason, phases)


def _on(cue: type[C], *rows: _Rows[C] | _Ignored) -> _Line[C]:
    return _Line(cue, rows)


_NO_SESSION = _ignored("No such session is here; what a bridge says of it is answered `gone` (rule 7)", ABSENT)


def _unknown(*phases: Phase) -> _Ignored:
    return _ignored("Nobody was told of the session yet", *phases)


def _not_due(*phases: Phase) -> _Ignored:
    return _ignored("It does not fall due then", *phases)


def _nothing_runs(*phases: Phase) -> _Ignored:
    return _ignored("No command runs in it", *phases)


def _not_holder() -> _Ignored:
    return _ignored("Only a bridge that has granted the session is obeyed (rule 3)", *ASKED)


def _too_late(*phases: Phase) -> _Ignored:
    return _ignored("The claim was answered already", *phases)


def _goes_on(*phases: Phase) -> _Ignored:
    return _ignored("What is held goes on, and what is set aside stays for its master", *phases)


_LOST = {ABSENT: "gone (lost), kill, give back"}
_NOT_HELD = {ABSENT: "gone (lost, or without the seal that its offer asks for), kill, give back"}

_LINES: tuple[_Line[Any], ...] = (
    # ---- an offer
    _on(
        OfferDelivered,
        _row(
            claims.take_up, ABSENT,
            stays="silent master, no room for its locks or no seal, park or bury. No new work, give back",
            to={CHECKING: "cancel consumers, check the machine"},
        ),
        _row(claims.own_again, *PRESENT, stays="hold its own offer again, park another of its request"),
    ),
    _on(
        MachineChecked,
        _row(
            claims.claim, CHECKING,
            to={
                CLAIMING: "claim",
                CONFIRMING: "first delivery of a command offer, journal, open, claim",
                ABSENT: "not able or no new work, give back. Not known, park",
            },
        ),
        _NO_SESSION, _too_late(*ASKED, HELD, ASIDE),
    ),
    _on(
        DeliveryLost,
        _row(claims.offer_lost, CHECKING, to={ABSENT: "forget"}),
        _row(claims.delivery_lost, *ASKED, HELD, stays="the bridge decides who holds it"),
        _NO_SESSION, _ignored("Its offer is acknowledged", ASIDE),
    ),
    # ---- what becomes of a claim
    _on(
        cues.ClaimConfirmed,
        _row(claims.confirmed, CLAIMING, stays=""),
        _row(
            claims.confirmed_first, CONFIRMING,
            to={AWAITING: "wait 1 s for a grant", HELD: "master silent, run"},
        ),
        _NO_SESSION, _unknown(CHECKING), _too_late(AWAITING, HELD, ASIDE),
    ),
    _on(
        cues.ClaimReturned,
        _row(claims.returned, CLAIMING, CONFIRMING, to={ABSENT: "master is silent, park"}),
        _NO_SESSION, _unknown(CHECKING), _too_late(AWAITING, HELD, ASIDE),
    ),
    _on(
        Grant,
        _row(holding.granted, *ASKED, to={HELD: "journal, open, accept", **_NOT_HELD}),
        _row(holding.granted_again, HELD, ASIDE, stays="events from stored on, accept", to=_NOT_HELD),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        cues.ClaimRefused,
        _row(claims.refused, *ASKED, to={ABSENT: "acknowledge"}),
        _row(holding.claim_refused, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        cues.ResumeRefused,
        _row(holding.resume_refused, HELD, ASIDE, to={ABSENT: "kill, clean up, give back"}),
        _NO_SESSION, _unknown(CHECKING), _ignored("It never resumed, its claim is answered by itself", *ASKED),
    ),
    _on(
        Later,
        _row(claims.put_off, *ASKED, to={ABSENT: "park"}),
        _row(holding.patience, HELD, ASIDE, stays="contact"),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        Hold,
        _row(holding.patience, HELD, ASIDE, stays="contact"),
        _NO_SESSION, _unknown(CHECKING), _ignored("The claim waits for its answer", *ASKED),
    ),
    _on(
        cues.AnswerDue,
        _row(claims.unanswered, *ASKED, to={ABSENT: "master is silent, park"}),
        _row(claims.unanswered_and_running, HELD, stays="master is silent"),
        _NO_SESSION, _not_due(CHECKING, ASIDE),
    ),
    _on(
        cues.RunDue,
        _row(claims.run_at_once, AWAITING, to={HELD: "run"}),
        _NO_SESSION, _not_due(CHECKING, CLAIMING, CONFIRMING, HELD, ASIDE),
    ),
    # ---- the bridge that holds it
    _on(
        Start,
        _row(
            commands.start, HELD,
            stays="run it, or publish its events", to={ABSENT: "another digest, gone (diverged), kill, give back"},
        ),
        _row(
            commands.start, ASIDE,
            stays="publish its events", to={ABSENT: "another digest or command, gone, delete"},
        ),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Interrupt,
        _row(commands.interrupt, HELD, stays="interrupt it, now or when it starts"),
        _row(commands.interrupt, ASIDE, stays=""),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Data,
        _row(commands.data, HELD, stays="feed the download"),
        _row(commands.data, ASIDE, stays=""),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    *(
        _on(
            message,
            _row(events.reported, HELD, ASIDE, stays="contact, more events", to=_LOST),
            _NO_SESSION, _unknown(CHECKING), _not_holder(),
        )
        for message in (Ping, Stored)
    ),
    _on(
        Replay,
        _row(events.replay, HELD, ASIDE, stays="events from stored on", to=_LOST),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Release,
        _row(holding.release, HELD, to={ABSENT: "clean up, acknowledge"}),
        _row(holding.release, ASIDE, to={ABSENT: "delete"}),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        RollCall,
        _row(holding.roll_call, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _unknown(CHECKING), _ignored("The claim waits for its answer", *ASKED),
    ),
    # ---- the link
    _on(
        LinkUp,
        _row(holding.link_up, HELD, ASIDE, stays="resume", to=_LOST),
        _NO_SESSION, _ignored("A claim ends with its link, or runs: none is left when one comes up", CHECKING, *ASKED),
    ),
    _on(
        LinkDown,
        _row(claims.link_lost, CHECKING, CLAIMING, CONFIRMING, to={ABSENT: "forget"}),
        _row(claims.link_lost_after_confirm, AWAITING, to={HELD: "run"}),
        _row(holding.link_lost, HELD, ASIDE, stays=""),
        _NO_SESSION,
    ),
    _on(
        cues.ResumeDue,
        _row(holding.resume_again, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    # ---- the keeper
    _on(
        Journalled,
        _row(events.journalled, HELD, stays="publish, start a command offer's next command"),
        _row(events.journalled, ASIDE, stays=""),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.EventsUnread,
        _row(events.unread, HELD, ASIDE, stays=""),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    _on(
        PullWanted,
        _row(commands.pull, HELD, stays="pull"),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.PullDue,
        _row(commands.pull_again, HELD, stays="pull"),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        KeeperLost,
        _row(claims.keeper_lost, CONFIRMING, AWAITING, to={ABSENT: "gone (killed), park"}),
        _row(holding.keeper_lost, HELD, stays="its command offer has finished", to=_LOST),
        _NO_SESSION, _ignored("It has no keeper", CHECKING, CLAIMING, ASIDE),
    ),
    # ---- events
    _on(
        cues.EventConfirmed,
        _row(events.confirmed, HELD, ASIDE, stays="", to=_LOST),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.EventReturned,
        _row(events.returned, HELD, ASIDE, stays="publish again after 5 s", to=_LOST),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.ResendDue,
        _row(events.resend, HELD, ASIDE, stays="publish again"),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    _on(
        cues.EventsWaiting,
        _row(events.waiting, HELD, ASIDE, stays="", to=_LOST),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    # ---- ends
    _on(
        cues.TurnedAway,
        _row(claims.give_up, CHECKING, *ASKED, to={ABSENT: "give back"}),
        _NO_SESSION, _goes_on(HELD, ASIDE),
    ),
    _on(
        Stop,
        _row(claims.give_up, CHECKING, *ASKED, to={ABSENT: "give back"}),
        _row(holding.stop, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _goes_on(ASIDE),
    ),
    _on(
        cues.FencingDue,
        _row(holding.fence, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.IdleDue,
        _row(holding.idle, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.AsideDue,
        _row(holding.set_aside, HELD, to={ASIDE: "acknowledge, end the keeper, keep the journal"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
)  # fmt: skip


def _table() -> Table[Phase, type, Handler[Any]]:
    rows: dict[tuple[Phase, type], Row[Phase, Handler[Any]]] = {}
    ignored: dict[tuple[Phase, type], str] = {}
    for line in _LINES:
        for part in line.rows:
            for phase in part.phases:
                if isinstance(part, _Ignored):
                    ignored[phase, line.cue] = part.reason
                else:
                    stays = {} if part.stays is None else {phase: part.stays}
                    rows[phase, line.cue] = Row(part.handler, {**stays, **part.to})
    return Table(start=ABSENT, states=Phase, inputs=(line.cue for line in _LINES), rows=rows, ignored=ignored)


TABLE = _table()


def happen(state: AgentState, session: Session, cue: cues.Cue) -> None:
    """`cue` happens to `session`."""
    before = session.phase
    row = TABLE.row(before, type(cue))
    if row is not None:
        row.handler(state, session, cue)
    state.watch(session, before, type(cue))
