"""While the simulator plays, agents' sessions and bridges' requests move as their tables say; most moves are seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from contracts.machines.transitions import Table
from contracts.messages import Grant
from master_bridge.core import transitions
from tests.harness import bridge_moves
from tests.harness.moves import Moves
from tests.simulation.plan import make_plan
from tests.simulation.planted.mutants import Mutant
from tests.simulation.profiles import ROTATION
from tests.simulation.run import run
from worker_agent.core.machine import AgentMachine
from worker_agent.core.session import Phase
from worker_agent.core.transitions import TABLE

#: Of the moves in the table, those that so few schedules need not show: claims that a drain or a stop gives up,
#: keepers that end before a grant, journals with holes. The unit test of the same name takes every one.
SCHEDULES = range(60)
SEEN_AT_LEAST = 40
#: As many of the bridge's; what no schedule shows is claims without a key, copies of state folders that both answer,
#: and requests that Buildbot asks for twice. The unit test of the bridge's table takes every move.
SEEN_OF_THE_BRIDGE = 55


def watched(moves: Moves, seeds: Iterable[int]) -> None:
    """Plays these schedules with real machines that `moves` looks at."""

    class Watched(AgentMachine):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            moves.watch(self)

    for seed in seeds:
        outcome = run(make_plan(ROTATION[seed % len(ROTATION)], seed), mutant=Mutant(name="watched", agent=Watched))
        assert not outcome.failed, outcome.detail


def test_sessions_and_requests_move_as_the_tables_say() -> None:
    """No move beside them, whatever happens to links, machines, masters and the broker."""
    moves, requests = Moves(), bridge_moves.Moves()
    with requests.watching_all():
        watched(moves, SCHEDULES)
    assert moves.faults == []
    assert len(moves.seen.keys() & TABLE.moves()) >= SEEN_AT_LEAST, "else these schedules prove little"
    assert requests.faults == []
    assert len(requests.seen.keys() & transitions.TABLE.moves()) >= SEEN_OF_THE_BRIDGE


def test_a_wrong_row_is_found() -> None:
    """A planted one: a granted claim would have to wait."""
    row = replace(TABLE.rows[Phase.CLAIMING, Grant], to={Phase.AWAITING: ""})
    wrong: Table[Phase, type, object] = Table(
        start=TABLE.start, states=TABLE.states, inputs=TABLE.inputs, ignored=TABLE.ignored,
        rows={**TABLE.rows, (Phase.CLAIMING, Grant): row},
    )  # fmt: skip
    moves = Moves(wrong)
    watched(moves, range(3))
    assert "CLAIMING became HELD upon grant" in moves.faults
