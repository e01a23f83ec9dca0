"""The agent's tables say what its machine does: no move beside them, none in them that does not happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from contracts.machines.transitions import Row, Table
from contracts.messages import Data, Event
from contracts.timing import DIRECT_MAX
from tests.harness.moves import Move, Moves, text
from worker_agent.core import actions, cues, inputs, orders
from worker_agent.core.availability import Order
from worker_agent.core.inputs import Recovered, SessionMeta
from worker_agent.core.journal import MemoryJournal
from worker_agent.core.session import Phase
from worker_agent.core.transitions import TABLE

from .harness import Agent, command_offer, direct_offer, offer
from .test_long_plays import STEPS, Play

#: Plays whose moves are looked at.
PLAYS = range(20)


#: Events of this size fill the window with eight.
LARGE = bytes(256 * 1024)


# ---- moves that plays do not make, since they are rare or far from everything else


def claiming() -> Agent:
    agent = Agent()
    agent.offer(offer())
    return agent


def checking() -> Agent:
    agent = Agent()
    agent.deliver(offer())
    return agent


def confirming() -> Agent:
    agent = Agent()
    agent.alive()
    agent.offer(command_offer())
    return agent


def awaiting() -> Agent:
    agent = confirming()
    agent.confirm()
    return agent


def held() -> Agent:
    agent = Agent()
    agent.running()
    return agent


def aside(granted: bool = True, large: int = 0, linked: bool = True) -> Agent:
    """Recovered, since that is the shortest way, with `large` events; a grant makes an incarnation heeded."""
    meta = SessionMeta(session="s1", offer=command_offer(), slot=0, resumes=True, aside=True)
    journal = MemoryJournal()
    kinds = ["started", *["stdout"] * large, "completed"]
    for seq, kind in enumerate(kinds, 1):
        value = {"name": "shell", "digest": "d1"} if kind == "started" else None
        data = LARGE if kind == "stdout" else b""
        journal.append(Event(session="s1", seq=seq, n=1, kind=kind, value=value, data=data))
    found = Recovered(meta=meta, alive=False, last_seq=len(kinds))
    agent = Agent(recovered=[found], journal=journal, linked=linked)
    if granted:
        agent.grant()
        agent.start()
    return agent


def spooled(agent: Agent) -> Agent:
    """It loses its link, writes meanwhile, and then its journal."""
    agent.link_down()
    agent.write((1, "stdout"))
    agent.journal.events["s1"].clear()
    return agent


def full(agent: Agent) -> Agent:
    """Window and broker are full of large events, none confirmed, and the journal is lost: the next look finds that."""
    if "held" in agent.states:
        for _ in range(9):
            agent.write((1, "stdout"), data=LARGE)
    agent.replay(2)
    agent.replay(2)
    agent.journal.events["s1"].clear()
    return agent


def first_large(agent: Agent) -> int:
    """Token of the first event that was published of those."""
    return next(
        a.token for a in agent.all if isinstance(a, actions.Publish) and getattr(a.message, "data", b"") == LARGE
    )  # type: ignore[return-value]


def waits_after_a_refusal(agent: Agent) -> Agent:
    """An event was returned, which stops publishing for 5 s; meanwhile the journal is lost."""
    token = next(a.token for a in agent.all if isinstance(a, actions.Publish) and isinstance(a.message, Event))
    assert token is not None
    agent.tell(inputs.Refused(token=token))
    agent.journal.events["s1"].clear()
    return agent


def unread(agent: Agent) -> Agent:
    """Told of more than can be read."""
    agent.tell(inputs.Journalled(session="s1", seq=99))
    return agent


#: From here to there, in a step or two; the phases on the way are made by the function before.
WALKS: list[tuple[Callable[[], Agent], Callable[[Agent], object]]] = [
    (checking, lambda a: a.tell(inputs.DeliveryLost(delivery=1))),
    (checking, lambda a: a.tell(inputs.Leave())),
    (checking, lambda a: a.tell(inputs.Stop())),
    (checking, lambda a: a.deliver(offer())),
    (Agent, lambda a: [a.told(direct_offer(f"o{number}")) for number in range(DIRECT_MAX + 1)]),
    (checking, lambda a: a.link_down()),
    (claiming, lambda a: a.grant(stored=5)),
    (claiming, lambda a: a.tell(inputs.Leave())),
    (claiming, lambda a: a.offer(offer())),
    (confirming, lambda a: a.grant(stored=5)),
    (confirming, lambda a: a.tell(inputs.Stop())),
    (confirming, lambda a: a.tell(inputs.Leave())),
    (confirming, lambda a: a.tell(inputs.DeliveryLost(delivery=1))),
    (confirming, lambda a: a.offer(command_offer())),
    (confirming, lambda a: a.tell(inputs.KeeperLost(session="s1", reason="killed"))),
    (confirming, lambda a: a.later()),
    (confirming, lambda a: a.tell(inputs.Refused(token=1, returned=True))),
    (awaiting, lambda a: a.later()),
    (awaiting, lambda a: a.link_down()),
    (awaiting, lambda a: a.grant(stored=5)),
    (awaiting, lambda a: a.tell(inputs.KeeperLost(session="s1", reason="killed"))),
    (awaiting, lambda a: a.tell(inputs.Stop())),
    (awaiting, lambda a: a.tell(inputs.Leave())),
    (awaiting, lambda a: a.offer(command_offer())),
    (held, lambda a: a.grant(stored=99)),
    (held, lambda a: a.stored(99)),
    (held, lambda a: a.ping(99)),
    (held, lambda a: a.replay(99)),
    (held, lambda a: spooled(a).link_up()),
    (held, lambda a: full(a).tell(inputs.Confirmed(token=first_large(a)))),
    (held, lambda a: full(a).tell(inputs.Refused(token=first_large(a)))),
    (held, lambda a: waits_after_a_refusal(a).wait(6)),
    (held, unread),
    (aside, lambda a: a.grant(stored=99)),
    (aside, lambda a: a.stored(99)),
    (aside, lambda a: a.ping(99)),
    (aside, lambda a: a.replay(99)),
    (aside, lambda a: a.refuse("resume")),
    (aside, lambda a: a.roll_call()),
    (aside, lambda a: a.offer(command_offer())),
    (aside, unread),
    (aside, lambda a: a.hold()),
    (aside, lambda a: a.later()),
    (aside, lambda a: a.refuse("claim")),
    (aside, lambda a: a.interrupt()),
    (aside, lambda a: a.hear(Data(session="s1", incarnation="I1", n=1, offset=0, size=1, data=b"1"))),
    (aside, lambda a: a.start(n=2)),
    (aside, lambda a: a.release()),
    (aside, lambda a: waits_after_a_refusal(a).wait(6)),
    (lambda: aside(large=9), lambda a: full(a).tell(inputs.Confirmed(token=first_large(a)))),
    (lambda: aside(large=9), lambda a: full(a).tell(inputs.Refused(token=first_large(a)))),
    (lambda: aside(granted=False, linked=False), lambda a: (a.journal.events.update(s1=[]), a.link_up())),
]


def late_confirm() -> Agent:
    """The claim's confirm comes just before its answer is due."""
    agent = confirming()
    claims = list(agent.did)
    agent.wait(4.9)
    agent.did = claims
    agent.confirm()
    agent.wait(0.2)
    return agent


def silent_master() -> Agent:
    """A master that does not answer one claim is silent: the next first delivery runs upon its confirm."""
    agent = Agent()
    agent.offer(offer("o9"))
    agent.confirm()
    agent.wait(6)
    agent.offer(command_offer())
    agent.confirm()
    return agent


def idle() -> Agent:
    """Granted, and never a command."""
    agent = Agent()
    agent.held()
    agent.wait(400)
    return agent


@pytest.fixture(scope="module")
def moves() -> Moves:
    """All that plays and walks do."""
    seen = Moves()
    watched, plain = Agent.__init__, Agent.__init__

    def watch(self: Agent, *args: Any, **named: Any) -> None:
        linked = named.pop("linked", True)
        plain(self, *args, **{**named, "linked": False})
        seen.watch(self.machine)
        if linked:
            self.tell(inputs.QueuesKnown(queues=frozenset({"cap.gtk", "cap.python3"})))
            self.link_up()

    Agent.__init__ = watch  # type: ignore[method-assign]
    try:
        for begin, go in WALKS:
            go(begin())
        late_confirm()
        silent_master()
        idle()
        for seed in PLAYS:
            play = Play(seed)
            for _ in range(STEPS):
                play.step()
            play.teardown()
    finally:
        Agent.__init__ = watched  # type: ignore[method-assign]
    return seen


def test_no_session_moves_beside_the_table(moves: Moves) -> None:
    """Whatever happens leads where its row says, and nothing else changes a phase."""
    assert sum(moves.seen.values()) > 10_000
    assert moves.faults == []


def test_every_move_of_the_table_happens(moves: Moves) -> None:
    """A row for what never happens, or that leads where nothing goes, is wrong, and so is its arrow in the diagram."""
    assert sorted(text(move) for move in TABLE.moves() - moves.seen.keys()) == []


def test_every_cue_is_in_the_table() -> None:
    """What can happen to a session has a line, and what has a line can happen."""
    assert set(TABLE.inputs) == set(get_args(cues.Cue))


WRONG: list[Move] = [
    (Phase.CLAIMING, next(cue for cue in TABLE.inputs if cue.__name__ == "Grant"), Phase.AWAITING),
    (Phase.HELD, cues.AsideDue, Phase.ABSENT),
    (Phase.CHECKING, inputs.MachineChecked, Phase.HELD),
]


@pytest.mark.parametrize("wrong", WRONG, ids=text)
def test_a_wrong_row_is_found(wrong: Move) -> None:
    """A planted one: what happens is a fault then."""
    before, cue, after = wrong
    row = TABLE.rows[before, cue]
    table: Table[Phase, type, object] = Table(
        start=TABLE.start, states=TABLE.states, inputs=TABLE.inputs, ignored=TABLE.ignored,
        rows={**TABLE.rows, (before, cue): replace(row, to={after: ""})},
    )  # fmt: skip
    seen = Moves(table)
    for seed in PLAYS:
        play = Play(seed)
        seen.watch(play.agent.machine)
        for _ in range(STEPS):
            play.step()
        if seen.faults:
            break
    assert any(fault.startswith(f"{before.name} became ") for fault in seen.faults)


# ---- the agent as a whole


ORDERS: dict[type, inputs.Input] = {
    inputs.Pause: inputs.Pause(), inputs.Leave: inputs.Leave(), inputs.ResumeWork: inputs.ResumeWork(),
    inputs.Stop: inputs.Stop(), cues.NothingHeld: inputs.Tick(),
}  # fmt: skip
WAYS: dict[Order, list[inputs.Input]] = {
    Order.WORK: [], Order.PAUSE: [inputs.Pause()], Order.LEAVE: [inputs.Leave()]
}  # fmt: skip


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("asked", list(ORDERS), ids=lambda asked: asked.__name__)
@pytest.mark.parametrize("before", list(WAYS), ids=lambda order: order.name)
def test_orders_lead_where_their_table_says(before: Order, asked: type, busy: bool) -> None:
    """Each order in each state; an agent that leaves and holds nothing has left by the end of the same input."""
    agent = Agent()
    if busy:
        agent.running()
    for way in WAYS[before]:
        agent.tell(way)
    if agent.machine.availability.order is Order.LEFT:
        assert (before, busy) == (Order.LEAVE, False)
        return
    agent.tell(ORDERS[asked])
    after = agent.machine.availability.order
    expected = set(orders.TABLE.rows[before, asked].to) if (before, asked) in orders.TABLE.rows else {before}
    killed = asked is inputs.Stop or (asked is inputs.Leave and before is Order.LEAVE)
    if Order.LEAVE in expected and (killed or not busy):
        expected = {Order.LEFT}
    if asked is cues.NothingHeld and busy:
        expected = {before}
    assert {after} == expected


def test_a_pause_on_an_agent_that_leaves_is_remembered() -> None:
    """It leaves all the same."""
    agent = held()
    agent.tell(inputs.Leave())
    agent.tell(inputs.Pause(reason="its disk is changed"))
    assert agent.machine.availability.order is Order.LEAVE
    assert agent.machine.availability.pause == "its disk is changed"
    agent.tell(inputs.ResumeWork())
    assert agent.machine.availability.order.value == Order.WORK.value
    assert agent.machine.availability.pause is None


def test_every_order_is_in_the_table() -> None:
    """As it is for sessions."""
    assert set(orders.TABLE.inputs) == set(get_args(orders.Asked))
    assert isinstance(orders.TABLE.rows[Order.WORK, inputs.Stop], Row)
