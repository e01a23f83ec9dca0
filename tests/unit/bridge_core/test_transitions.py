"""The bridge's table says what its machine does: no move beside it, none in it that does not happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from contracts.machines.transitions import Table
from master_bridge.core import cues, rollcall
from master_bridge.core.inputs import AgentDied, Keep, Reroute, Withdraw
from master_bridge.core.states import State
from master_bridge.core.transitions import TABLE
from tests.harness.bridge_moves import Move, Moves, text

from .plays import Play
from .scene import MAKE, Agent, Scene, executing

PLAYS, STEPS = range(20), 1000


def _play(seeds: range = PLAYS) -> None:
    for seed in seeds:
        play = Play(seed)
        for _ in range(STEPS):
            play.step()


# ---- moves that plays seldom make, since they are far from everything else


def granted(scene: Scene, *, request: str = "br-1", **more: object) -> Agent:
    agent = Agent("a", request=request)
    scene.says(agent, agent.claim(scene.offered(request, **more)))
    return agent


def granted_command(scene: Scene) -> Agent:
    return granted(scene, request="br-1/lint", kind="command", commands=(MAKE,))


def resumed(scene: Scene) -> Agent:
    """Its agent says that it runs a command."""
    agent = Agent("a")
    scene.offered()
    scene.says(agent, agent.resume(executing()))
    return agent


def two_lives_later(scene: Scene) -> Agent:
    """Two agents were lost while they ran it; a third has resumed and not accepted."""
    scene.offered()
    for name in ("x", "y"):
        lost = Agent(name)
        scene.says(lost, lost.resume(executing()))
        scene.says(lost, lost.gone("lost"))
    agent = Agent("a")
    scene.says(agent, agent.resume(executing()))
    return agent


def older_is_asked(scene: Scene, agent: Agent) -> Agent:
    """The agent has come back at a new address; then the older one speaks, and is asked whether it lives."""
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    agent.epoch = 1
    scene.says(agent, agent.resume(executing()))
    scene.hear_markers()
    return agent


def older_accepts_of_missing(scene: Scene, agent: Agent) -> None:
    older_is_asked(scene, agent)
    agent.epoch = 2
    scene.vanish(agent)
    agent.epoch = 1
    scene.says(agent, agent.accept())


def newer_resume_without_key(scene: Scene, agent: Agent) -> None:
    scene.do(Reroute(request=agent.request, signature="gtk", seal=True))
    agent.epoch += 1
    scene.says(agent, agent.resume(executing()))


def newer_claim_without_key(scene: Scene, agent: Agent) -> None:
    scene.do(Reroute(request=agent.request, signature="gtk", seal=True))
    agent.epoch += 1
    scene.says(agent, agent.claim("o-1"))


def newer_accept_without_key(scene: Scene, agent: Agent) -> None:
    """Of a grant by an earlier incarnation, late."""
    scene.do(Reroute(request=agent.request, signature="gtk", seal=True))
    agent.epoch += 1
    scene.says(agent, agent.accept("inc-0"))


def gone_elsewhere(scene: Scene, agent: Agent) -> None:
    agent.epoch += 1
    scene.says(agent, agent.gone("lost"))
    agent.epoch -= 1


def vanished(scene: Scene, agent: Agent) -> Agent:
    scene.vanish(agent)
    return agent


def claims_in_the_roll_call(scene: Scene) -> None:
    offer = scene.offered("br-1/lint", kind="command", commands=(MAKE,))
    scene.relink()
    agent = Agent("a", request="br-1/lint")
    scene.says(agent, agent.claim(offer))
    scene.settle()


def attached(scene: Scene) -> Agent:
    return scene.held(Agent("a"))


WITHOUT_KEY = (newer_claim_without_key, newer_resume_without_key, newer_accept_without_key)
BEGUN = (resumed, two_lives_later, attached)
WALKS: list[Callable[[Scene], object]] = [
    *(lambda s, tell=tell, begin=begin: tell(s, begin(s)) for tell in WITHOUT_KEY for begin in BEGUN),
    *(lambda s, tell=tell, begin=begin: tell(s, vanished(s, begin(s))) for tell in WITHOUT_KEY for begin in BEGUN),
    *(lambda s, begin=begin: (begin(s), s.seek(seal=True)) for begin in BEGUN),
    *(lambda s, begin=begin: (vanished(s, begin(s)), s.seek(seal=True)) for begin in BEGUN),
    *(lambda s, begin=begin: (vanished(s, begin(s)), s.do(Keep(request="br-1"))) for begin in BEGUN),
    *(lambda s, begin=begin: (vanished(s, begin(s)), s.do(Withdraw(request="br-1"))) for begin in BEGUN),
    *(lambda s, begin=begin: (gone_elsewhere(s, begin(s)), s.wait(6.0)) for begin in BEGUN),
    lambda s: older_accepts_of_missing(s, attached(s)),
    lambda s: older_accepts_of_missing(s, resumed(s)),
    lambda s: (agent := two_lives_later(s), gone_elsewhere(s, agent), vanished(s, agent)),
    lambda s: (agent := two_lives_later(s), gone_elsewhere(s, agent), s.do(AgentDied(address=agent.address))),
    *(lambda s, begin=begin: s.do(AgentDied(address=begin(s).address)) for begin in BEGUN),
    *(
        lambda s, begin=begin: (agent := begin(s), gone_elsewhere(s, agent), s.do(AgentDied(address=agent.address)))
        for begin in BEGUN
    ),
    lambda s: (agent := vanished(s, two_lives_later(s)), s.says(agent, agent.gone("lost"))),
    lambda s: (two_lives_later(s), vanished(s, Agent("a")), s.wait(90.0)),
    claims_in_the_roll_call,
    lambda s: (s.offered(), s.wait(1300.0)),
]


@pytest.fixture(scope="module")
def moves() -> Moves:
    """All that plays and walks do."""
    seen = Moves()
    with seen.watching_all():
        for walk in WALKS:
            walk(Scene())
        _play()
    return seen


def test_no_request_moves_beside_the_table(moves: Moves) -> None:
    """Whatever happens leads where its row says, and nothing else changes a state."""
    assert sum(moves.seen.values()) > 50_000
    assert moves.faults == []


def test_every_move_of_the_table_happens(moves: Moves) -> None:
    """A row for what never happens, or that leads where nothing goes, is wrong, and so is its arrow in the diagram."""
    assert sorted(text(move) for move in TABLE.moves() - moves.seen.keys()) == []


def test_every_move_of_a_noted_session_happens(moves: Moves) -> None:
    """That none is beside its table is a fault as above."""
    assert [move for move in rollcall.TABLE.moves() if move not in moves.on_roll] == []
    assert set(rollcall.TABLE.inputs) == set(rollcall.Cue)


def test_every_cue_is_in_the_table() -> None:
    """What can happen to a request has a line, and what has a line can happen."""
    assert set(TABLE.inputs) == set(get_args(cues.Cue))


WRONG: list[Move] = [
    (State.HELD_MISSING, cues.HolderAccept, State.GRANTED),  # drawn as the one way back once
    (State.GRANTED, cues.MessageReturned, State.HELD_MISSING),
    (State.WAITING, cues.NewClaim, State.WAITING),
]


@pytest.mark.parametrize("wrong", WRONG, ids=text)
def test_a_wrong_row_is_found(wrong: Move) -> None:
    """A planted one: what happens is a fault then."""
    before, cue, after = wrong
    rows = {**TABLE.rows, (before, cue): replace(TABLE.rows[before, cue], to={after: ""})}
    table: Table[State, type, object] = Table(
        start=TABLE.start, states=TABLE.states, inputs=TABLE.inputs, ignored=TABLE.ignored, rows=rows
    )
    seen = Moves(table)
    with seen.watching_all():
        for seed in PLAYS:
            _play(range(seed, seed + 1))
            if seen.faults:
                break
    assert any(fault.startswith(f"{before.name} became ") for fault in seen.faults)


@pytest.mark.parametrize(
    ("begin", "before", "after"),
    [
        (granted, State.GRANTED, State.WAITING),
        (granted_command, State.GRANTED, State.GRANTED_MISSING),
        (resumed, State.GRANTED, State.GRANTED_MISSING),
        (attached, State.HELD, State.HELD_MISSING),
    ],
    ids=["a build's claim", "a command's claim", "a resume", "attached"],
)
def test_who_does_not_answer_is_missing_unless_nothing_was_executed(
    begin: Callable[[Scene], Agent], before: State, after: State
) -> None:
    """An agent forgets a build's claim with its link, so its build waits again at once (rule 5)."""
    scene = Scene()
    agent = begin(scene)
    assert scene.machine._parts.state(agent.request) is before
    scene.vanish(agent)
    assert scene.machine._parts.state(agent.request) is after


def test_who_comes_back_is_in_the_state_that_it_was_in() -> None:
    """A resume ends an absence; only an accept attaches, once."""
    for begin, back in ((resumed, State.GRANTED), (attached, State.HELD)):
        scene = Scene()
        agent = vanished(scene, begin(scene))
        agent.epoch += 1
        scene.says(agent, agent.resume(executing()))
        assert scene.machine._parts.state(agent.request) is back
