"""The agent's table: what each cue does to a session in each phase. Sessions are run from it (`happen`), and
docs/protocol.md shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from contracts.machines.lines import Does, Ignored, Line, ignored, row, table_of
from contracts.machines.transitions import Table
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


def _on(cue: type[C], *parts: Does[Phase, Handler[C]] | Ignored[Phase]) -> Line[Phase, Handler[Any]]:
    """A handler takes its line's cue."""
    return Line(cue, parts)


_NO_SESSION = ignored("No such session is here; what a bridge says of it is answered `gone` (rule 7)", ABSENT)


def _unknown(*phases: Phase) -> Ignored[Phase]:
    return ignored("Nobody was told of the session yet", *phases)


def _not_due(*phases: Phase) -> Ignored[Phase]:
    return ignored("It does not fall due then", *phases)


def _nothing_runs(*phases: Phase) -> Ignored[Phase]:
    return ignored("No command runs in it", *phases)


def _not_holder() -> Ignored[Phase]:
    return ignored("Only a bridge that has granted the session is obeyed (rule 3)", *ASKED)


def _too_late(*phases: Phase) -> Ignored[Phase]:
    return ignored("The claim was answered already", *phases)


def _goes_on(*phases: Phase) -> Ignored[Phase]:
    return ignored("What is held goes on, and what is set aside stays for its master", *phases)


_LOST = {ABSENT: "gone (lost), kill, give back"}
_NOT_HELD = {ABSENT: "gone (lost, or without the seal that its offer asks for), kill, give back"}

_REPORTED = (
    row(events.reported, HELD, ASIDE, stays="contact, more events", to=_LOST),
    _NO_SESSION,
    _unknown(CHECKING),
    _not_holder(),
)

_LINES: tuple[Line[Phase, Handler[Any]], ...] = (
    # ---- an offer
    _on(
        OfferDelivered,
        row(
            claims.take_up, ABSENT,
            stays="silent master, no room for its locks or no seal, park or send to dead. No new work, give back",
            to={CHECKING: "cancel consumers, check the machine"},
        ),
        row(claims.own_again, *PRESENT, stays="hold its own offer again, park another of its request"),
    ),
    _on(
        MachineChecked,
        row(
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
        cues.OfferTold,
        row(claims.claim_told, ABSENT, stays="no room, it leaves, or cannot seal", to={CLAIMING: "claim"}),
        ignored("It is said until it is answered", *PRESENT),
    ),
    _on(
        DeliveryLost,
        row(claims.offer_lost, CHECKING, to={ABSENT: "forget"}),
        row(claims.delivery_lost, *ASKED, HELD, stays="the bridge decides who holds it"),
        _NO_SESSION, ignored("Its offer is acknowledged", ASIDE),
    ),
    # ---- what becomes of a claim
    _on(
        cues.ClaimConfirmed,
        row(claims.confirmed, CLAIMING, stays=""),
        row(
            claims.confirmed_first, CONFIRMING,
            to={AWAITING: "wait 1 s for a grant", HELD: "master silent, run"},
        ),
        _NO_SESSION, _unknown(CHECKING), _too_late(AWAITING, HELD, ASIDE),
    ),
    _on(
        cues.ClaimReturned,
        row(claims.returned, CLAIMING, CONFIRMING, to={ABSENT: "master is silent, park"}),
        _NO_SESSION, _unknown(CHECKING), _too_late(AWAITING, HELD, ASIDE),
    ),
    _on(
        Grant,
        row(holding.granted, *ASKED, to={HELD: "journal, open, accept", **_NOT_HELD}),
        row(holding.granted_again, HELD, ASIDE, stays="events from stored on, accept", to=_NOT_HELD),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        cues.ClaimRefused,
        row(claims.refused, *ASKED, to={ABSENT: "acknowledge"}),
        row(holding.claim_refused, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        cues.ResumeRefused,
        row(holding.resume_refused, HELD, ASIDE, to={ABSENT: "kill, clean up, give back"}),
        _NO_SESSION, _unknown(CHECKING), ignored("It never resumed, its claim is answered by itself", *ASKED),
    ),
    _on(
        Later,
        row(claims.put_off, *ASKED, to={ABSENT: "park"}),
        row(holding.patience, HELD, ASIDE, stays="contact"),
        _NO_SESSION, _unknown(CHECKING),
    ),
    _on(
        Hold,
        row(holding.patience, HELD, ASIDE, stays="contact"),
        _NO_SESSION, _unknown(CHECKING), ignored("The claim waits for its answer", *ASKED),
    ),
    _on(
        cues.AnswerDue,
        row(claims.unanswered, *ASKED, to={ABSENT: "master is silent, park"}),
        row(claims.unanswered_and_running, HELD, stays="master is silent"),
        _NO_SESSION, _not_due(CHECKING, ASIDE),
    ),
    _on(
        cues.RunDue,
        row(claims.run_at_once, AWAITING, to={HELD: "run"}),
        _NO_SESSION, _not_due(CHECKING, CLAIMING, CONFIRMING, HELD, ASIDE),
    ),
    # ---- the bridge that holds it
    _on(
        Start,
        row(
            commands.start, HELD,
            stays="run it, or publish its events", to={ABSENT: "another digest, gone (diverged), kill, give back"},
        ),
        row(
            commands.start, ASIDE,
            stays="publish its events", to={ABSENT: "another digest or command, gone, delete"},
        ),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Interrupt,
        row(commands.interrupt, HELD, stays="interrupt it, now or when it starts"),
        row(commands.interrupt, ASIDE, stays=""),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Data,
        row(commands.data, HELD, stays="feed the download"),
        row(commands.data, ASIDE, stays=""),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(Ping, *_REPORTED),
    _on(Stored, *_REPORTED),
    _on(
        Replay,
        row(events.replay, HELD, ASIDE, stays="events from stored on", to=_LOST),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        Release,
        row(holding.release, HELD, to={ABSENT: "clean up, acknowledge"}),
        row(holding.release, ASIDE, to={ABSENT: "delete"}),
        _NO_SESSION, _unknown(CHECKING), _not_holder(),
    ),
    _on(
        RollCall,
        row(holding.roll_call, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _unknown(CHECKING), ignored("The claim waits for its answer", *ASKED),
    ),
    # ---- the link
    _on(
        LinkUp,
        row(holding.link_up, HELD, ASIDE, stays="resume", to=_LOST),
        _NO_SESSION, ignored("A claim ends with its link, or runs: none is left when one comes up", CHECKING, *ASKED),
    ),
    _on(
        LinkDown,
        row(claims.link_lost, CHECKING, CLAIMING, CONFIRMING, to={ABSENT: "forget"}),
        row(claims.link_lost_after_confirm, AWAITING, to={HELD: "run"}),
        row(holding.link_lost, HELD, ASIDE, stays=""),
        _NO_SESSION,
    ),
    _on(
        cues.ResumeDue,
        row(holding.resume_again, HELD, ASIDE, stays="resume"),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    # ---- the keeper
    _on(
        Journalled,
        row(events.journalled, HELD, stays="publish, start a command offer's next command"),
        row(events.journalled, ASIDE, stays=""),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.EventsUnread,
        row(events.unread, HELD, ASIDE, stays=""),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    _on(
        PullWanted,
        row(commands.pull, HELD, stays="pull"),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.PullDue,
        row(commands.pull_again, HELD, stays="pull"),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        KeeperLost,
        row(claims.keeper_lost, CONFIRMING, AWAITING, to={ABSENT: "gone (killed), park"}),
        row(holding.keeper_lost, HELD, stays="its command offer has finished", to=_LOST),
        _NO_SESSION, ignored("It has no keeper", CHECKING, CLAIMING, ASIDE),
    ),
    # ---- events
    _on(
        cues.EventConfirmed,
        row(events.confirmed, HELD, ASIDE, stays="", to=_LOST),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.EventReturned,
        row(events.returned, HELD, ASIDE, stays="publish again after 5 s", to=_LOST),
        _NO_SESSION, _nothing_runs(CHECKING, *ASKED),
    ),
    _on(
        cues.ResendDue,
        row(events.resend, HELD, ASIDE, stays="publish again"),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    _on(
        cues.EventsWaiting,
        row(events.waiting, HELD, ASIDE, stays="", to=_LOST),
        _NO_SESSION, _not_due(CHECKING, *ASKED),
    ),
    # ---- ends
    _on(
        cues.TurnedAway,
        row(claims.give_up, CHECKING, *ASKED, to={ABSENT: "give back"}),
        _NO_SESSION, _goes_on(HELD, ASIDE),
    ),
    _on(
        Stop,
        row(claims.give_up, CHECKING, *ASKED, to={ABSENT: "give back"}),
        row(holding.stop, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _goes_on(ASIDE),
    ),
    _on(
        cues.FencingDue,
        row(holding.fence, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.IdleDue,
        row(holding.idle, HELD, to={ABSENT: "gone (killed), kill, give back"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
    _on(
        cues.AsideDue,
        row(holding.set_aside, HELD, to={ASIDE: "acknowledge, end the keeper, keep the journal"}),
        _NO_SESSION, _not_due(CHECKING, *ASKED, ASIDE),
    ),
)  # fmt: skip


TABLE: Table[Phase, type, Handler[Any]] = table_of(_LINES, start=ABSENT, states=Phase)


def happen(state: AgentState, session: Session, cue: cues.Cue) -> None:
    """`cue` happens to `session`."""
    before = session.phase
    row = TABLE.row(before, type(cue))
    if row is not None:
        row.handler(state, session, cue)
    state.watch(session, before, type(cue))
