"""What a keeper's session makes of its commands is what its table says, whatever comes in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from worker_agent.keeper import session as keeper
from worker_agent.keeper.journal.writer import JournalFull
from worker_agent.keeper.session import IGNORED, ROWS, Cue, KeeperSession, State
from worker_agent.keeper.settings import KeeperConfig

STEPS = 3000


class FakeRunner:
    """Fails to run, or says at once that a command is over, where it is told to."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.empty = True
        self.how = "runs"
        self.interrupted: list[int] = []
        self.ran: list[tuple[int, bool]] = []

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str, *, unwanted: bool) -> None:
        self.ran.append((n, unwanted))
        if self.how == "fails":
            raise OSError("no more processes")
        if self.how == "ends at once":
            self.listener.append(n, "header", None, b"at once")
            self.listener.completed(n, None, None)

    def interrupt(self, n: int) -> None:
        self.interrupted.append(n)

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        pass

    def set_room(self, output: bool, uploads: bool) -> None:
        pass

    def attached(self) -> None:
        pass

    async def kill_all(self) -> None:
        pass

    async def end(self) -> list[str]:
        return []


class Watched(KeeperSession):
    """Notes each move, and what the table does not allow."""

    def __init__(self, folder: Path) -> None:
        self.seen: Counter[tuple[State, Cue, State]] = Counter()
        self.faults: list[str] = []
        self.events: list[tuple[int, str]] = []
        self.lost: list[str] = []
        folder.mkdir(exist_ok=True)
        config = KeeperConfig(session="s1", folder=str(folder), basedir=str(folder), builddir="b")
        super().__init__(
            config, self._make, journalled=lambda seq: None, pulled=lambda n, o, s: None, broken=self.lost.append
        )

    def _make(self, listener: Any) -> FakeRunner:
        self.runner = FakeRunner(listener)
        return self.runner

    def state_of(self, n: int) -> State:
        command = self._commands.get(n)
        return State.UNKNOWN if command is None else command.state

    def happen(self, n: int, cue: Cue, **news: Any) -> None:
        before = self.state_of(n)
        try:
            super().happen(n, cue, **news)
        finally:
            after = self.state_of(n)
            self.seen[before, cue, after] += 1
            row = keeper.ROWS.get((before, cue))
            if after not in (row[1] if row is not None else {before}):
                self.faults.append(f"{before.name} became {after.name} upon {cue.value}")

    def _append(self, n: int, kind: str, *args: Any, **fields: Any) -> None:
        super()._append(n, kind, *args, **fields)
        self.events.append((n, kind))


def play(session: Watched, seed: int) -> None:
    """Orders, news and failures in any order."""
    dice = random.Random(seed)
    append = session._journal.append
    for step in range(STEPS):
        n = max(1, step // 12 + dice.randint(-3, 1))
        session.runner.how = dice.choice(["runs", "runs", "runs", "fails", "ends at once"])
        session._journal.append = append  # type: ignore[method-assign]
        if dice.random() < 0.05:
            session._journal.append = _fails(dice.random() < 0.5)  # type: ignore[method-assign]
        moves = [
            lambda n=n: session.run(n, "shell", {}, "d"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda n=n: session.complete_unstarted(n, "shell", "d", "Stop"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda n=n: session.fail(n, "why"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda n=n: session.interrupt(n, "Stop"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda: session.condemn("fenced"),
            lambda n=n: session.feed(n, 0, 1, b"1"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda n=n: session.append(n, "stdout", None, b"1"),  # type: ignore[misc]  # no lambda with a default has a type
            lambda n=n: session.completed(n, None, None),  # type: ignore[misc]  # no lambda with a default has a type
        ]
        weights = [8, 1, 2, 4, 0.3, 4, 6, 4]
        try:
            dice.choices(moves, weights)[0]()
        except OSError as error:
            session._journal.append = append  # type: ignore[method-assign]
            session.fail(n, str(error))  # as the server does (`Server.refused`)


def _fails(full: bool) -> Any:
    def append(*args: Any, **fields: Any) -> int:
        raise JournalFull(28, "No space left on device") if full else OSError(5, "Input/output error")

    return append


@pytest.fixture
def session(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "s1")


def test_every_state_and_cue_has_a_row_or_a_reason() -> None:
    """One of the two."""
    cells = {(state, cue) for state in State for cue in Cue}
    assert ROWS.keys() | IGNORED.keys() == cells
    assert not ROWS.keys() & IGNORED.keys()


def test_what_happens_is_what_the_table_says_and_all_of_it_happens(session: Watched) -> None:
    """No move beside the table; no row for what never is."""
    for seed in range(3):
        play(session, seed)
        session._commands.clear()
    # an interrupt or a condemnation while the start is being written, which no order can time
    command = session._commands[9999] = keeper.CommandRecord(state=State.STARTING)
    session.happen(9999, Cue.INTERRUPT, reason="Stop")
    session.happen(9999, Cue.CONDEMN, reason="disk full")
    assert (command.interrupted, command.condemned) == ("Stop", "disk full")
    assert session.faults == []
    wanted = {(before, cue, after) for (before, cue), (_, to) in ROWS.items() for after in to}
    assert {f"{b.name} {c.name} {a.name}" for b, c, a in wanted - session.seen.keys()} == set()


def test_a_wrong_row_is_found(session: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted one."""
    handler, _ = ROWS[State.RUNNING, Cue.COMPLETED]
    wrong = {**ROWS, (State.RUNNING, Cue.COMPLETED): (handler, {State.RUNNING: ""})}
    monkeypatch.setattr(keeper, "ROWS", wrong)
    session.run(1, "shell", {}, "d")
    session.completed(1, None, None)
    assert session.faults == ["RUNNING became OVER upon completed"]


def test_a_command_is_begun_once_and_ended_once(session: Watched) -> None:
    """In the journal, whatever comes; and an event of it stands between."""
    play(session, 7)
    for n in {n for n, _ in session.events}:
        kinds = [kind for of, kind in session.events if of == n]
        assert kinds.count("completed") <= 1
        assert "completed" not in kinds[:-1]
        assert len([ran for ran, _ in session.runner.ran if ran == n]) <= 1


def test_a_second_reason_changes_nothing(session: Watched) -> None:
    """The first is why it ended."""
    session.run(1, "shell", {}, "d")
    session.interrupt(1, "Stop")
    session.interrupt(1, "timeout")
    session.condemn("fenced")
    session.condemn("disk full")
    command = session._commands[1]
    assert (command.interrupted, command.condemned) == ("Stop", "fenced")
    assert session.runner.interrupted == [1, 1, 1, 1]


def test_a_command_on_a_full_disk_is_unwanted(session: Watched) -> None:
    """Its start is journalled from the reserve; the runner only completes it."""
    session.run(1, "shell", {}, "d")
    append, calls = session._journal.append, []

    def once(*args: Any, **fields: Any) -> int:
        calls.append(args)
        if len(calls) == 1:
            raise JournalFull(28, "No space left on device")
        return append(*args, **fields)

    session._journal.append = once  # type: ignore[method-assign]
    session._journal.set_reserve = lambda: False  # type: ignore[method-assign]
    session.append(1, "stdout", None, b"1")
    session.run(2, "shell", {}, "d")
    assert session.runner.ran == [(1, False), (2, True)]
    assert session._commands[1].condemned == "disk full: No space left on device"
    assert session.lost == []
