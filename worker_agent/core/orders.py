"""What people ask of the agent as a whole: take work, pause, leave, stop. The agent's second table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

from contracts.machines.transitions import Row, Table
from worker_agent.core import cues
from worker_agent.core.actions import Exit
from worker_agent.core.availability import Order
from worker_agent.core.inputs import Leave, Pause, ResumeWork, Stop
from worker_agent.core.state import AgentState
from worker_agent.core.transitions import happen

Asked = Union[Pause, Leave, ResumeWork, Stop, cues.NothingHeld]
Handler = Callable[[AgentState, Any], None]


def _pause(state: AgentState, asked: Pause) -> None:
    state.pause = asked.reason
    state.order = Order.PAUSE
    _turn_away(state)


def _pause_later(state: AgentState, asked: Pause) -> None:
    """It leaves all the same; the pause is for the next start, and for whoever looks."""
    state.pause = asked.reason


def _leave(state: AgentState, asked: Leave) -> None:
    state.order = Order.LEAVE
    _turn_away(state)


def _resume(state: AgentState, asked: ResumeWork) -> None:
    state.pause = None
    state.order = Order.WORK


def _stop(state: AgentState, asked: Leave | Stop) -> None:
    state.order = Order.LEAVE
    state.cancel_consumers()
    for session in list(state.sessions.values()):
        happen(state, session, Stop())


def _exit(state: AgentState, asked: cues.NothingHeld) -> None:
    state.order = Order.LEFT
    state.do(Exit())


def _turn_away(state: AgentState) -> None:
    state.cancel_consumers()
    for session in list(state.sessions.values()):
        happen(state, session, cues.TurnedAway())


_WORK, _PAUSE, _LEAVE, _LEFT = Order
_STOPPED = {_LEAVE: "give claims back, kill what is held"}
_TURNED_AWAY = "give claims back, take nothing new"
_STAYS = "It stays, with or without work"

TABLE: Table[Order, type, Handler] = Table(
    start=_WORK,
    states=Order,
    ends=(_LEFT,),
    inputs=(Pause, Leave, ResumeWork, Stop, cues.NothingHeld),
    rows={
        (_WORK, Pause): Row(_pause, {_PAUSE: _TURNED_AWAY}),
        (_PAUSE, Pause): Row(_pause, {_PAUSE: ""}),
        (_LEAVE, Pause): Row(_pause_later, {_LEAVE: "remember it"}),
        (_WORK, Leave): Row(_leave, {_LEAVE: _TURNED_AWAY}),
        (_PAUSE, Leave): Row(_leave, {_LEAVE: _TURNED_AWAY}),
        (_LEAVE, Leave): Row(_stop, _STOPPED),
        (_PAUSE, ResumeWork): Row(_resume, {_WORK: "take work"}),
        (_LEAVE, ResumeWork): Row(_resume, {_WORK: "take work"}),
        (_WORK, Stop): Row(_stop, _STOPPED),
        (_PAUSE, Stop): Row(_stop, _STOPPED),
        (_LEAVE, Stop): Row(_stop, _STOPPED),
        (_LEAVE, cues.NothingHeld): Row(_exit, {_LEFT: "exit"}),
    },
    ignored={
        (_WORK, ResumeWork): "It takes work already",
        (_WORK, cues.NothingHeld): _STAYS,
        (_PAUSE, cues.NothingHeld): _STAYS,
    },
)


def ask(state: AgentState, asked: Asked) -> None:
    """Somebody asks that of the agent, or nothing is held any more."""
    row = TABLE.row(state.order, type(asked))
    if row is not None:
        row.handler(state, asked)
