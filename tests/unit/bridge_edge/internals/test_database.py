"""Buildbot's calls find SQLite's connections open while the bridge keeps them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from buildbot.db.enginestrategy import create_engine
from structlog.testing import capture_logs
from twisted.internet import defer

from master_bridge.buildbot.internals.database import IDLE, MOST, OpenDatabase


class Master:
    """With Buildbot's own engine for `url`; what its thread pool runs is run at once."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine: Any = create_engine(url, basedir=str(folder))
        self.db = SimpleNamespace(pool=self)
        #: each connection that a call got
        self.used: list[Any] = []

    def do_with_engine(self, work: Any) -> Any:
        return defer.execute(work, self.engine)

    def write(self, number: int) -> None:
        """As a call of Buildbot's: a connection of its own, closed after."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sqlalchemy.text("insert into numbers values (:number)"), {"number": number})
            self.used.append(connection.connection.dbapi_connection)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master("sqlite:///state.sqlite", tmp_path)
    with made.engine.connect() as connection, connection.begin():
        connection.execute(sqlalchemy.text("create table numbers (number integer)"))
    yield made
    made.engine.dispose()


@pytest.fixture
def kept(master: Master) -> Iterator[OpenDatabase]:
    database = OpenDatabase()
    database.keep(master)
    yield database
    database.release()


def numbers(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        return [number for (number,) in connection.execute("select number from numbers order by number")]


def closed(connection: Any) -> bool:
    try:
        connection.execute("select 1")
    except sqlite3.ProgrammingError as error:
        return "closed" in str(error)
    return False


def test_the_log_stays_between_calls_until_the_database_is_released(master: Master, tmp_path: Path) -> None:
    log = tmp_path / "state.sqlite-wal"
    database = OpenDatabase()
    master.write(1)
    assert not log.exists()
    database.keep(master)
    master.write(2)
    assert log.exists()
    database.keep(master)  # once is enough
    database.release()
    assert not log.exists()
    assert numbers(tmp_path / "state.sqlite") == [1, 2]
    database.release()
    master.write(3)
    assert not log.exists(), "as it was before"
    assert closed(master.used[-1])


def test_a_call_takes_the_connection_of_the_one_before(master: Master, kept: OpenDatabase) -> None:
    for number in range(10):
        master.write(number)
    assert len(set(map(id, master.used))) == 1


def test_calls_at_once_have_one_each_and_not_all_are_kept(master: Master, kept: OpenDatabase) -> None:
    many = [master.engine.connect() for _ in range(MOST + 2)]
    found = [connection.connection.dbapi_connection for connection in many]
    assert len(set(map(id, found))) == MOST + 2
    for connection in many:
        connection.close()
    assert sum(map(closed, found)) == 2


def test_threads_write_at_once(master: Master, kept: OpenDatabase, tmp_path: Path) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 50):
            master.write(number)

    threads = [threading.Thread(target=write, args=(100 * index,)) for index in range(MOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers(tmp_path / "state.sqlite")) == MOST * 50
    assert len(set(map(id, master.used))) <= MOST + 1


def test_it_keeps_no_log_from_being_written_back(master: Master, kept: OpenDatabase, tmp_path: Path) -> None:
    """Idle connections are in no transaction, so SQLite's own checkpoints find nobody in the way."""
    master.write(1)
    with master.engine.connect() as connection:
        busy, in_log, written_back = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").one()
    assert (busy, in_log, written_back) == (0, 0, 0), "all of it, and the log is empty"
    assert (tmp_path / "state.sqlite-wal").stat().st_size == 0


def test_one_that_is_in_the_middle_of_an_answer_is_not_kept(master: Master, kept: OpenDatabase) -> None:
    """It would see the database as it was, and a checkpoint would wait for it."""
    master.write(1)
    master.write(2)
    connection = sqlite_connection(master)
    unread = connection.execute("select number from numbers")
    unread.fetchone()
    connection.close()
    assert closed(connection)


def test_one_in_a_transaction_is_not_kept(master: Master, kept: OpenDatabase, tmp_path: Path) -> None:
    connection = sqlite_connection(master)
    connection.execute("insert into numbers values (7)")
    connection.close()
    assert closed(connection)
    assert numbers(tmp_path / "state.sqlite") == []


def sqlite_connection(master: Master) -> Any:
    """The next one, as the driver gives it."""
    proxied = master.engine.raw_connection()
    return proxied.detach() or proxied.dbapi_connection


def test_an_error_costs_all_that_were_kept(master: Master, kept: OpenDatabase) -> None:
    master.write(1)
    with pytest.raises(sqlalchemy.exc.OperationalError), master.engine.connect() as connection:
        connection.exec_driver_sql("select * from what_is_not_there")
    assert closed(master.used[0])
    master.write(2)
    master.write(3)
    assert master.used[1] is master.used[2]
    assert master.used[0] is not master.used[1]


def test_other_databases_are_left_alone(tmp_path: Path) -> None:
    for engine in (
        create_engine("sqlite://", basedir=str(tmp_path)),
        SimpleNamespace(driver="psycopg2", pool=None, url=SimpleNamespace(database="buildbot")),
    ):
        master: Any = SimpleNamespace(db=SimpleNamespace(pool=SimpleNamespace(engine=engine)))
        database = OpenDatabase()
        database.keep(master)  # would ask the pool, which cannot do anything
        database.release()


def test_a_database_that_refuses_does_without(tmp_path: Path) -> None:
    """As Buildbot will say by itself."""
    (tmp_path / "state.sqlite").write_text("no database, but longer than the head of one" * 100)
    master = Master("sqlite:///state.sqlite", tmp_path)
    database = OpenDatabase()
    with capture_logs() as logs:
        database.keep(master)
    assert [entry["event"] for entry in logs] == ["amqp.database_not_kept_open"]
    assert "not a database" in logs[0]["reason"]
    database.release()


def test_a_pool_keeps_as_many_connections_as_buildbot_has_threads(tmp_path: Path) -> None:
    """Five is what it keeps by itself; with 15 builds at once the other ten would be opened anew for each call."""
    opened: list[Any] = []
    master = Master("sqlite:///state.sqlite", tmp_path)
    engine: Any = sqlalchemy.create_engine(master.engine.url, poolclass=sqlalchemy.pool.QueuePool)
    engine.optimal_thread_pool_size = threads = 15
    master.engine = engine
    engine.dialect.driver = "another"
    sqlalchemy.event.listen(engine, "do_connect", lambda *arguments: opened.append(arguments))
    OpenDatabase().keep(master)
    for _ in range(3):
        for connection in [engine.connect() for _ in range(threads)]:
            connection.close()
    assert len(opened) == threads
    engine.dispose()


def test_a_connection_that_was_idle_for_long_is_asked_first_whether_it_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that keeps more of them leaves most idle for long: servers and firewalls end such."""
    master = Master("sqlite:///state.sqlite", tmp_path)
    engine: Any = sqlalchemy.create_engine(master.engine.url, poolclass=sqlalchemy.pool.QueuePool)
    engine.optimal_thread_pool_size = 2
    engine.dialect.driver = "another"
    master.engine = engine
    seconds, asked = [0.0], list[Any]()
    monkeypatch.setattr("master_bridge.buildbot.internals.database.time", SimpleNamespace(monotonic=lambda: seconds[0]))
    ping = engine.dialect.do_ping
    monkeypatch.setattr(engine.dialect, "do_ping", lambda connection: asked.append(connection) or ping(connection))
    database = OpenDatabase()
    database.keep(master)
    database.keep(master)  # once is enough

    def used() -> Any:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("select 1").scalar() == 1
            return connection.connection.dbapi_connection

    first = used()
    seconds[0] += IDLE
    assert used() is first
    assert asked == [], "one that is in use is not asked"
    seconds[0] += IDLE + 1
    assert used() is first
    assert asked == [first]
    first.close()
    seconds[0] += IDLE + 1
    second = used()
    assert second is not first
    assert asked == [first, first]
    assert used() is second
    database.release()
    database.release()
    seconds[0] += IDLE + 1
    assert used() is second
    assert asked == [first, first], "as it was before"
    engine.dispose()
