"""Long plays by seed, mostly of what really happens: they get deep into sessions where arbitrary inputs seldom do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.generated import seeds
from worker_agent.core import actions, inputs

from .harness import OPENED_AT, command, offer
from .test_any_inputs import AnyInputs

STEPS = 400
SEEDS = seeds(60)
SLOTS = (1, 1, 2, 3)


class Play(AnyInputs):
    """The moves of `AnyInputs`, chosen by weight."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.seals = random.Random(f"{seed}/seals")  # apart: the rest goes as it went without them
        self.begin(self.random.choice(SLOTS))
        self.did: Counter[str] = Counter()

    def _told(self) -> None:
        self.did.update(
            a.message.t if isinstance(a, actions.Publish) else type(a).__name__  # type: ignore[attr-defined]
            for a in self.agent.did
        )
        self.did.update(self.agent.states)
        super()._told()

    def _incarnation(self) -> str | None:
        return self.random.choice([None] * 12 + ["I1", "I2"])

    def new_offer(self) -> None:
        r = self.random
        kind = r.choice(["build", "command", "command"])
        first = r.random() < 0.6
        count = r.randint(1, 3)
        number = r.randint(1, 200) if r.random() < 0.8 else r.randint(1, 3)
        what = offer(
            f"o{number}",
            master=r.choice(["m", "m", "n"]),
            kind=kind,
            ask=not first,
            published=OPENED_AT + 100,
            fencing=r.choice([None, None, None, 20.0]),
            seal=self.seals.random() < 0.15,
            commands=tuple(command(n) for n in range(1, count + 1)) if kind == "command" else (),
        )
        self.offered(what, not first, 0 if first else r.choice([0, 200]), checked=r.random() < 0.9)

    def check_last(self) -> None:
        if self.known_deliveries:
            able = self.random.choice([True, True, False, None])
            self.agent.tell(inputs.MachineChecked(delivery=self.known_deliveries[-1], able=able))
            self._told()

    def step(self) -> None:
        r = self.random
        index, incarnation, n = r.randint(0, 8), self._incarnation(), r.randint(1, 3)
        seldom = r.random() < 0.05
        moves: list[tuple[int, Callable[[], object]]] = [
            (20, self.new_offer),
            (30, lambda: self.all_answered(r.random() < 0.9)),
            (25, lambda: self.grant(index, incarnation, r.choice([0, 1]))),
            (25, lambda: self.start(index, incarnation, n, changed=seldom)),
            (60, lambda: self.writes_something(r.randint(0, 11), r.choice([0, 10, 200_000]), r.choice([1, 3, 40]))),
            (
                25,
                lambda: self.borders(index, incarnation, r.choice([0.5, 1, 1]), r.choice(["ping", "stored", "replay"])),
            ),
            (6, lambda: self.interrupt(index, incarnation, n)),
            (6, lambda: self.pull_wanted(index, n)),
            (6, lambda: self.bulk_data(index, incarnation, n)),
            (5, lambda: self.answer(index, r.choice(["claim", "later", "hold", "resume"]), seldom)),
            (4, lambda: self.release(index, incarnation, seldom=True)),
            (4, lambda: self.link_down(r.choice([0, 3, 30]), r.random() < 0.5)),
            (15, lambda: self.time_passes(r.choice([0.1, 0.1, 1, 3, 6, 12]))),
            (6, lambda: self.broadcast(r.choice(["m", "n"]), r.choice(["I1", "I1", "I2"]), roll=seldom)),
            (2, lambda: self.keeper_lost(index, seldom)),
            (1, lambda: self.stored_more_than_there_is(index, seldom)),
            (2, lambda: self.drain(seldom=False, resume=True)),
            (1, lambda: self.wellness(unwell=seldom)),
            (2, self.lose_a_delivery),
            (10, self.check_last),
        ]
        [(_, move)] = r.choices(moves, [weight for weight, _ in moves])
        move()

    def lose_a_delivery(self) -> None:
        if self.known_deliveries:
            self.agent.tell(inputs.DeliveryLost(delivery=self.random.choice(self.known_deliveries)))
            self._told()


def play(seed: int) -> Counter[str]:
    game = Play(seed)
    for _ in range(STEPS):
        game.step()
    game.teardown()
    game._told()
    return game.did


@pytest.mark.generated
@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_play_keeps_all_promises(seed: int) -> None:
    """`Watch` checks each action; at the end everything is answered and the agent exits."""
    play(seed)


def test_the_plays_get_everywhere() -> None:
    """Every action but reports (test_reports.py) and every state of a slot occurs: else it proves nothing."""
    did = sum((play(seed) for seed in list(SEEDS)[:30]), Counter[str]())
    wanted = {kind.__name__ for kind in actions.Action.__args__} - {"Publish", "Report"}  # type: ignore[attr-defined]
    wanted |= {"claim", "resume", "accept", "gone", "event", "pull", "idle", "claiming", "held", "aside"}
    assert not {what for what in wanted if not did[what]}
