"""What is appended to a log is stored as Buildbot stores it, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from buildbot.db.enginestrategy import create_engine
from buildbot.db.logs import LogsConnectorComponent
from buildbot.db.model import Model
from buildbot.test.fake.reactor import NonThreadPool
from twisted.internet import defer

from master_bridge.buildbot.internals.appended_logs import SMALL, AppendedLogs
from master_bridge.buildbot.output.lines import LINE_MAX


class Pool(NonThreadPool):
    """What its threads run is run at once."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.calls = 0

    def do(self, work: Any, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        with self.engine.connect() as connection:
            return defer.execute(work, connection, *arguments, **keywords)


class Master:
    """With Buildbot's own tables of logs, and what writes them."""

    def __init__(self, folder: Path, compressed: str = "gz") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pool = Pool(create_engine("sqlite:///state.sqlite", basedir=str(folder)))
        self.db: Any = SimpleNamespace(pool=self.pool, model=Model)
        self.logs = self.db.logs = LogsConnectorComponent(self.db)
        #: where a piece is compressed before it is written
        self.compressing = self.logs._compression_pool = NonThreadPool()
        self.reactor = SimpleNamespace(callFromThread=lambda work, *arguments: work(*arguments))
        self.config = SimpleNamespace(logCompressionMethod=compressed)
        self.logs.parent = SimpleNamespace(master=self)
        Model.metadata.create_all(self.pool.engine, tables=[Model.logs, Model.logchunks])

    def log(self) -> int:
        step = len(self.stored())
        new = {"name": "stdio", "slug": "stdio", "stepid": step, "complete": 0, "num_lines": 0, "type": "s"}
        with self.pool.engine.connect() as connection, connection.begin():
            return int(connection.execute(Model.logs.insert(), new).inserted_primary_key[0])

    def append(self, log: int, content: str) -> Any:
        got: list[Any] = []
        self.logs.appendLog(logid=log, content=content).addBoth(got.append)
        return got[0]

    def stored(self) -> list[Any]:
        """All rows of both tables."""
        with self.pool.engine.connect() as connection:
            return [
                tuple(row)
                for table in (Model.logs, Model.logchunks)
                for row in connection.execute(sqlalchemy.select(table).order_by(*table.columns)).all()
            ]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buildbot's own way waits for its other thread, unless it is under test."""
    monkeypatch.setattr("buildbot.db.logs.get_is_in_unit_tests", lambda: True)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path / "ours")
    appended = AppendedLogs()
    appended.keep(made)
    yield made
    appended.release()


LINES = [
    "o",
    "o" + 80 * "=",
    "eüñ→𝄞",
    "o\r",
    "o\x85\u2028\x0b",
    "h" + 3000 * "ab",
    "o" + (LINE_MAX - 1) * "x",
    "o" + (LINE_MAX + 3) * "x",
    "o" + 30_000 * "ü→𝄞",
]
PIECES = {
    "a line": "oone\n",
    "an empty line": "o\n",
    "what gets no smaller": "o\x00\x01\x02abc\n",
    "each kind of line": "".join(f"{line}\n" for line in LINES[:-2]),
    "lines that are cut": "".join(f"{line}\n" for line in LINES),
    "just small": (SMALL - 1) * "o" + "\n",
    "more than that": SMALL * "o" + "\n",
    "more than a chunk": "".join(f"o{number:099}\n" for number in range(10_000)),
}


@pytest.mark.parametrize("compressed", ["gz", "bz2", "raw"])
def test_what_is_stored_is_what_buildbot_stores(tmp_path: Path, compressed: str) -> None:
    """The same rows in both tables, and the same answers, whatever comes after whatever."""
    usual, ours = Master(tmp_path / "usual", compressed), Master(tmp_path / "ours", compressed)
    AppendedLogs().keep(ours)
    for master in (usual, ours):
        master.log()
    log, other = usual.log(), usual.log()
    assert (ours.log(), ours.log()) == (log, other)
    for number, piece in enumerate([*PIECES.values(), *reversed(PIECES.values())]):
        to = other if number % 3 == 2 else log
        assert ours.append(to, piece) == usual.append(to, piece) is not None
        assert ours.stored() == usual.stored()
    assert ours.append(99, "ono such log\n") is usual.append(99, "ono such log\n") is None
    assert ours.stored() == usual.stored()


@pytest.mark.parametrize("piece", ["a line", "just small", "more than a chunk"])
def test_a_piece_is_one_call_of_the_database(master: Master, piece: str) -> None:
    log = master.log()
    assert master.append(log, PIECES[piece]) == (0, PIECES[piece].count("\n") - 1)
    assert master.pool.calls == 1
    assert master.compressing.calls == (len(PIECES[piece]) > SMALL), "not where all other calls wait for it"


def test_a_call_that_fails_stores_nothing_and_may_be_made_again(master: Master) -> None:
    """As where the database is locked: Buildbot makes the call again."""
    log = master.log()
    master.append(log, "oone\n")
    before = master.stored()
    broken = sqlalchemy.event.listens_for(master.pool.engine, "before_cursor_execute")

    @broken
    def refuse(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("INSERT INTO logchunks"):
            raise RuntimeError("no room")

    assert "no room" in str(master.append(log, "otwo\n"))
    sqlalchemy.event.remove(master.pool.engine, "before_cursor_execute", refuse)
    assert master.stored() == before
    assert master.append(log, "otwo\n") == (1, 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [("o\ud800\n", UnicodeEncodeError), ("oone\notwo", AssertionError), ("oone\r", AssertionError), ("", IndexError)],
    ids=["a surrogate", "no whole line", "another line end", "nothing"],
)
def test_what_is_no_text_or_no_lines_is_refused_as_buildbot_refuses_it(
    tmp_path: Path, master: Master, text: str, error: type[Exception]
) -> None:
    usual = Master(tmp_path / "usual")
    failures = [each.append(each.log(), text) for each in (usual, master)]
    assert [failure.type for failure in failures] == 2 * [error]
    assert master.stored() == usual.stored()


def test_after_its_release_it_is_buildbots_own_again(tmp_path: Path) -> None:
    master, appended = Master(tmp_path), AppendedLogs()
    appended.keep(master)
    appended.keep(master)
    assert "appendLog" in vars(master.logs)
    appended.release()
    appended.release()
    assert "appendLog" not in vars(master.logs)
