"""SQLite's write-ahead log outlives Buildbot's calls while the bridge holds the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from buildbot.db.enginestrategy import create_engine
from structlog.testing import capture_logs
from twisted.internet import defer

from master_bridge.buildbot.internals.database import HeldDatabase


class Master:
    """With Buildbot's own engine for `url`; what its thread pool runs is run at once."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine: Any = create_engine(url, basedir=str(folder))
        self.db = SimpleNamespace(pool=self)

    def do_with_engine(self, work: Any) -> Any:
        return defer.execute(work, self.engine)

    def write(self, number: int) -> None:
        """As a call of Buildbot's: a connection of its own, closed after."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sqlalchemy.text("insert into numbers values (:number)"), {"number": number})


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master("sqlite:///state.sqlite", tmp_path)
    with made.engine.connect() as connection, connection.begin():
        connection.execute(sqlalchemy.text("create table numbers (number integer)"))
    yield made
    made.engine.dispose()


def numbers(file: Path) -> list[int]:
    with sqlite3.connect(file) as connection:
        return [number for (number,) in connection.execute("select number from numbers order by number")]


def test_the_log_stays_between_calls_until_the_database_is_released(master: Master, tmp_path: Path) -> None:
    log = tmp_path / "state.sqlite-wal"
    held = HeldDatabase()
    master.write(1)
    assert not log.exists()
    held.hold(master)
    master.write(2)
    assert log.exists()
    held.hold(master)  # once is enough
    held.release()
    assert not log.exists()
    assert numbers(tmp_path / "state.sqlite") == [1, 2]
    held.release()


def test_it_keeps_no_log_from_being_written_back(master: Master, tmp_path: Path) -> None:
    """Its connection is in no transaction, so SQLite's own checkpoints find nobody in the way."""
    held = HeldDatabase()
    held.hold(master)
    master.write(1)
    with master.engine.connect() as connection:
        busy, in_log, written_back = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").one()
    assert (busy, in_log, written_back) == (0, 0, 0), "all of it, and the log is empty"
    assert (tmp_path / "state.sqlite-wal").stat().st_size == 0
    held.release()


def test_other_databases_are_left_alone(tmp_path: Path) -> None:
    for engine in (
        create_engine("sqlite://", basedir=str(tmp_path)),
        SimpleNamespace(dialect=SimpleNamespace(name="postgresql"), url=SimpleNamespace(database="buildbot")),
    ):
        master: Any = SimpleNamespace(db=SimpleNamespace(pool=SimpleNamespace(engine=engine)))
        held = HeldDatabase()
        held.hold(master)  # would ask the pool, which cannot do anything
        held.release()


def test_a_database_that_refuses_does_without(tmp_path: Path) -> None:
    """As Buildbot will say by itself."""
    (tmp_path / "state.sqlite").write_text("no database, but longer than the head of one" * 100)
    master = Master("sqlite:///state.sqlite", tmp_path)
    held = HeldDatabase()
    with capture_logs() as logs:
        held.hold(master)
    assert [entry["event"] for entry in logs] == ["amqp.database_not_kept_open"]
    assert "not a database" in logs[0]["reason"]
    held.release()
